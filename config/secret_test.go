package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
)

func TestSecretFile(t *testing.T) {
	t.Parallel()
	for _, test := range [][2]string{{"hunter2", "hunter2"}, {"hunter2\n", "hunter2"}, {"hunter2\r\n", "hunter2"}, {"a b\nc", "a b\nc"}, {"${PATH}", "${PATH}"}} {
		content, want := test[0], test[1]
		path := write(t, "password", content)
		var got everything
		must(t, load(t, environ("FXCACHE_X__PASSWORD_FILE="+path, "FXCACHE_X__AUTH_FILE="+path)).Decode("x", &got))
		if got.Password.Reveal() != want || got.Auth.Reveal() != want {
			t.Errorf("%q was read as %q", content, got.Password.Reveal())
		}
	}

	folder, missing := t.TempDir(), t.TempDir()+"/missing"
	empty, large := write(t, "empty", "\n"), write(t, "large", strings.Repeat("x", 1<<20+1))
	for _, test := range []struct{ yaml, want string }{
		{"password_file: " + missing, "password_file (inline): cannot read the file (its name is not shown): no such file or directory"},
		{"password_file: " + folder, "password_file (inline): cannot read the file (its name is not shown): is a directory"},
		{"password_file: " + empty, "password_file (inline): cannot use the file: it is empty"},
		{"password_file: " + large, "password_file (inline): cannot use the file: it is larger than 1048576 bytes"},
		{"password_file:", "password_file (inline): has no value: write one, or remove the key"},
		{"password_file: 5", "password_file (inline): must be the path of a file, not a number"},
		{"{password: hunter2, password_file: x}", "password_file (inline): is given in addition to password (inline): remove one of them"},
	} {
		wantProblems(t, yamlSource(t, test.yaml).Decode("", &everything{}), test.want)
	}

	// If a struct has a key of that name itself, the key is not a secret file.
	var own struct {
		Password     cache.Secret `koanf:"password"`
		PasswordFile string       `koanf:"password_file"`
	}
	must(t, yamlSource(t, "{password_file: x, password: y}").Decode("", &own))
	if own.PasswordFile != "x" || own.Password.Reveal() != "y" {
		t.Errorf("got %+v", own)
	}
}

// picky is a secret whose error quotes the value it refuses.
type picky struct{ cache.Secret }

func (*picky) UnmarshalText(text []byte) error { return errors.New("bad: " + string(text)) }

func TestErrorsDoNotShowSecrets(t *testing.T) {
	t.Parallel()
	var dst struct {
		Auth  picky       `koanf:"auth"`
		Size  driver.Size `koanf:"secret_size"`
		Outer struct {
			Count int `koanf:"count"`
		} `koanf:"credentials"`
	}
	path := write(t, "auth", "hunter2")
	wantProblems(t, yamlSource(t, "{auth_file: "+path+", secret_size: hunter2, credentials: {count: hunter2}}").Decode("", &dst),
		"auth_file (inline): is not valid (the value is not shown)",
		"credentials.count (inline): must be a whole number (the value is not shown)",
		"secret_size (inline): is not valid (the value is not shown)")
	wantProblems(t, yamlSource(t, "auth: hunter2").Decode("", &dst), "auth (inline): is not valid (the value is not shown)")
}

func TestStringRedacts(t *testing.T) {
	t.Parallel()
	secrets := `
password: hunter2-a
auth: hunter2-b
keys: [hunter2-c]
token_pin: 12345
token_ttl: 5s
any:
  api-key: hunter2-d
  Secrets: {x: hunter2-e, y: [hunter2-f]}
  dsn: hunter2-g
  url: redis://user:hunter2-h/@x@host:6379
  list: ["rediss://:hunter2-i@host"]
  api_token: 7654321
  empty_password: ""
labels: {private_key: hunter2-j, plain: hunter2-n}
hosts: [hunter2-o]
homepage: redis://user:hunter2-p/@x@host:6379
name: harmless
`
	file := write(t, "password", "hunter2-k")
	for name, decode := range map[string]func(*config.Source) error{
		"before Decode": func(s *config.Source) error { return nil },
		"after Decode":  func(s *config.Source) error { return s.Decode("x", &everything{}) },
		"after a failed Decode": func(s *config.Source) error {
			var other struct {
				everything `koanf:",squash"`
				Missing    int `koanf:"name"`
			}
			if s.Decode("x", &other) == nil {
				return errors.New("no error")
			}
			return nil
		},
	} {
		text := "x:" + strings.ReplaceAll(secrets, "\n", "\n  ")
		if name == "before Decode" { // nothing but the names to go by
			text = strings.NewReplacer("auth:", "auth_token:", "keys:", "key_secrets:").Replace(text)
		}
		source := load(t, config.YAML(text), config.Values(map[string]any{"code.thing": cache.NewSecret("hunter2-l"), "code.odd": struct{ p string }{"hunter2-m"}}))
		must(t, decode(source))
		got := fmt.Sprint(source) + fmt.Sprintf("%v %+v %s %#v", source, source, source, source)
		if strings.Contains(got, "hunter2") || strings.Contains(got, "7654321") || strings.Contains(got, "12345") {
			t.Errorf("%s: a secret shows in\n%s", name, got)
		}
		decoded := name == "after Decode" // only then are the public fields known
		if !strings.Contains(got, `empty_password: ""`) || strings.Contains(got, "harmless") != decoded ||
			strings.Contains(got, "homepage: redis://user:[redacted]@host:6379") != decoded {
			t.Errorf("%s: too little shows, or too much, in\n%s", name, got)
		}
	}

	source := yamlSource(t, "x: {password_file: "+file+"}")
	must(t, source.Decode("x", &everything{}))
	if got := source.String(); strings.Contains(got, "hunter2") || !strings.Contains(got, "password_file: "+file) || !strings.Contains(got, "password: '[redacted]'") {
		t.Errorf("got\n%s", got)
	}
}

func TestStringOfASharedRoot(t *testing.T) {
	t.Parallel()
	app := koanf.New(".")
	must(t, app.Load(confmap.Provider(map[string]any{"db.pin": "hunter2", "cache.name": "n", "sessions.name": "s"}, "."), nil))
	source := load(t, config.From(app, ""))
	if got := source.String(); got != "{}\n" {
		t.Errorf("before anything is ours:\n%s", got)
	}
	must(t, source.CheckSections("cache"))
	must(t, source.Decode("sessions", &base{}))
	if got, want := source.String(), "cache:\n    name: '[redacted]'\nsessions:\n    name: s\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// quoting implements TextUnmarshaler. Its error quotes the value it refuses.
type quoting string

func (*quoting) UnmarshalText(text []byte) error {
	return fmt.Errorf("cannot parse %q as anything", strings.ToUpper(string(text)))
}

// owner is a section whose error quotes the value it refuses.
type owner struct {
	URL  string   `koanf:"url"`
	List []string `koanf:"list"`
	Mode string   `koanf:"mode,public"`
}

func (o owner) Validate() error {
	return errors.Join(fmt.Errorf("cannot use %q with mode %s", o.URL, o.Mode), &cache.OptionError{Name: "list", Reason: fmt.Sprintf("has %v", o.List)})
}

// The errors of other code about a value are passed on without the value.
func TestErrorsRepeatNoText(t *testing.T) {
	t.Parallel()
	var dst struct {
		Own quoting `koanf:"own"`
	}
	wantProblems(t, yamlSource(t, "own: pw:hunter2@host").Decode("", &dst), "own (inline): is not valid (the value is not shown)")
	wantProblems(t, yamlSource(t, "{url: 'mem:hunter2@host', list: [one, hunter2-b], mode: fast}").Decode("", &owner{}),
		`cannot use [redacted] with mode fast`, "list (inline): has [one [redacted]]")
}

// Every verb prints a Source like String, even through a pointer in an unexported field.
func TestEveryVerb(t *testing.T) {
	t.Parallel()
	source := yamlSource(t, "{x: {passwrod: hunter2, pin: 7654321}}")
	section := source.At("x")
	holder := struct {
		source  *config.Source
		section config.Section
	}{source, section}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%b", "%o", "%U", "%c", "%e", "%10.200s", "% x", "%#q", "%p"} {
		for _, value := range []any{source, section, &section, holder, &holder, []any{source}, map[string]any{"s": source}} {
			text := fmt.Sprintf(verb, value)
			if strings.Contains(text, "hunter2") || strings.Contains(text, "7654321") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
				t.Errorf("%s of a %T: %s", verb, value, text)
			}
		}
		if text := fmt.Sprintf(verb, source); verb != "%p" && text != source.String() {
			t.Errorf("%s: %s", verb, text)
		}
	}
}
