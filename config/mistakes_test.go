package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/config"
)

// A duration below a millisecond is a number that lacked a unit, wherever it comes from.
func TestShortDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ttl: 300ns":         "ttl (inline): is less than a millisecond; did you mean 300s?",
		"ttl: 300us":         "ttl (inline): is less than a millisecond; did you mean 300ms?",
		"ttl: 0.5ms":         "ttl (inline): is less than a millisecond; did you mean 500ms?",
		"ttl: 999999ns":      "ttl (inline): is less than a millisecond; did you mean 999999s?",
		"delays: [1s, 3ns]":  "delays[1] (inline): is less than a millisecond; did you mean 3s?",
		"token_ttl: 54321ns": "token_ttl (inline): is less than a millisecond",
		"ttl: 300":           "ttl (inline): has no unit: write 300s, 300ms, …",
		`ttl: "300"`:         "ttl (inline): has no unit: write 300s, 300ms, …",
	} {
		wantProblems(t, yamlSource(t, text).Decode("", &everything{}), want)
	}
	wantProblems(t, load(t, config.Values(map[string]any{"ttl": 3600 * time.Nanosecond})).Decode("", &everything{}),
		"ttl (code): is less than a millisecond; did you mean 3600s?")
	wantProblems(t, load(t, environ("FXCACHE_X__TTL=20ns")).Decode("x", &everything{}),
		"x.ttl (environment FXCACHE_X__TTL): is less than a millisecond; did you mean 20s?")
	for _, text := range []string{"ttl: 1ms", "ttl: 0", "ttl: 0ns", "ttl: -1ns"} { // a sign is the owner's business
		must(t, yamlSource(t, text).Decode("", &everything{}))
	}
}

const unfilled = "has a placeholder that nothing has filled in; fxcache replaces none, so write the value itself"

// What a template should have replaced is an error, and what only looks a little like it is a
// value.
func TestPlaceholders(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"${VAR}", "${VAR:-hunter2}", "${VAR-}", "${VAR:?missing}", "${spring.host:hunter2}", "${env:VAR}", "a ${VAR} b", "${{ secrets.VAR }}", "$${VAR}",
		"{{ .Values.x }}", "{{VAR}}", "{{- $x -}}", `{{ "hunter2" | b64 }}`, "pre-{{ x }}-post", "<%= ENV['X'] %>", "<%x%>", "$(VAR)", "$(cat /run/x)", "#{VAR}", "#{ENV['X']}",
		"$VAR", "redis://:$PW@h", "$HOST:6379", "redis://$HOST:1/$DB", "%VAR%", "__VAR__", "@var@", "@project.version@", "[[ var ]]", "<password>", "<your password>",
	} {
		for field, more := range map[string]string{"name": "", "password": ", or put it into a file (…_file), where it may look like this", "count": "", "ttl": "", "size": "", "enabled": "", "hosts": "", "password_file": ""} {
			source := load(t, config.Values(map[string]any{field: value}))
			wantProblems(t, source.Decode("", &everything{}), field+" (code): "+unfilled+more)
		}
		var dst struct {
			Pattern string       `koanf:"pattern,template"`
			Secret  cache.Secret `koanf:"secret"`
			Any     any          `koanf:"any"`
		}
		must(t, load(t, config.Values(map[string]any{"pattern": value, "any": value, "secret_file": write(t, "s", value)})).Decode("", &dst))
		if dst.Pattern != value || dst.Secret.Reveal() != value || dst.Any != value {
			t.Errorf("%q was read as %q, %q and %v", value, dst.Pattern, dst.Secret.Reveal(), dst.Any)
		}
	}
	for _, value := range []string{"pa$$word", "a${b", "a}b", "$ecret", "$5", "x$ABC", "50%", "%41%42", "{x}", "{{", "}}", "a_b__c", "a@b", "[x]", "<a", "a>b", "#{", "#1}", "$", "${}", "${1}", "<%%>", "{{1}}", "A$B$C"} {
		var got everything
		must(t, load(t, config.Values(map[string]any{"name": value, "password": value})).Decode("", &got))
		if got.Name != value || got.Password.Reveal() != value {
			t.Errorf("%q was read as %q", value, got.Name)
		}
	}
}

// What nobody sees in a secret is refused: it would only be noticed as a wrong password.
func TestSpoiltSecrets(t *testing.T) {
	t.Parallel()
	const blank, mark, zero = "begins or ends with a blank or a line end: remove it",
		"begins with a byte order mark (BOM): save it as UTF-8 without one", "has a zero byte (NUL): save it as plain text in UTF-8"
	for text, want := range map[string]string{
		"hunter2 ": blank, " hunter2": blank, "hunter2\t": blank, "hunter2\n\n": blank, "hunter2\u00a0": blank, "hunter2 \r\n": blank, "hunter2\r": blank,
		"\ufeffhunter2": mark, "\xff\xfeh\x00": mark, "\xfe\xff\x00h": mark, "h\x00u\x00": zero, "hunter2\x00": zero, "hunter2\x00\n": zero,
	} {
		path := write(t, "secret", text)
		wantProblems(t, load(t, config.Values(map[string]any{"password_file": path})).Decode("", &everything{}),
			"password_file (code): cannot use the file: its content "+want)
		if !strings.HasSuffix(text, "\n") {
			wantProblems(t, load(t, environ("FXCACHE_X__PASSWORD="+text)).Decode("x", &everything{}), "x.password (environment FXCACHE_X__PASSWORD): "+want)
			must(t, load(t, config.Values(map[string]any{"password": cache.NewSecret(text)})).Decode("", &everything{})) // code says what it means
		}
	}
}

// Files of Windows are read. What a parser would misunderstand, or speak of in its own words, is
// not.
func TestFilesAsEditorsSaveThem(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"a.yaml": "x:\n  name: n\n  hosts:\n  - a\n", "b.json": "{\n \"x\": {\"name\": \"n\",\n \"hosts\": [\"a\"]}\n}\n", "c.toml": "[x]\nname = 'n'\nhosts = ['a']\n",
	} {
		for _, content := range []string{content, "\ufeff" + content, strings.ReplaceAll(content, "\n", "\r\n"), "\ufeff" + strings.ReplaceAll(content, "\n", "\r\n")} {
			var got everything
			must(t, load(t, config.File(write(t, name, content))).Decode("x", &got))
			if got.Name != "n" || len(got.Hosts) != 1 || got.Hosts[0] != "a" {
				t.Errorf("%s: %q was read as %+v", name, content, got)
			}
		}
		for _, content := range []string{"\xff\xfex\x00", "\xfe\xff\x00x", content + "\x00"} {
			path := write(t, name, content)
			_, err := config.Load(config.File(path))
			wantProblems(t, err, path+": is not text in UTF-8: save it in that encoding")
		}
	}
	for _, test := range [][3]string{
		{"a.yaml", "a:\n\tb: 1\n", "line 2: is indented with a tab: use spaces"},
		{"a.yaml", "a:\n  b: 1\n \t c: 1\n", "line 3: is indented with a tab: use spaces"},
		{"a.yaml", "# x\n\n\ta: 1\n", "line 3: is indented with a tab: use spaces"},
		{"a.yaml", "a:\n  b: [1\n", "line 1: did not find expected ',' or ']'"},
		{"a.yaml", "a:\n  b: !vault hunter2\n", "line 2: has a tag, a word that begins with !, that no tool has processed: write the value itself"},
		{"a.yaml", "a:\n  b: !ENV ${hunter2}\n", "line 2: has a tag, a word that begins with !, that no tool has processed: write the value itself"},
		{"a.yaml", "a:\n  - !Ref hunter2\n", "line 2: has a tag, a word that begins with !, that no tool has processed: write the value itself"},
		{"a.json", "{\"a\": 1,\n\"b\": {\"c\": [{\"d\": 1,\n \"d\": 2}]}}", `line 3: key d is already defined`},
		{"a.json", `{"a": 1, "a": 2}`, `line 1: key a is already defined`},
		{"a.toml", "[a]\nb = 1\n[a]\n", ""},
	} {
		path := write(t, test[0], test[1])
		_, err := config.Load(config.File(path))
		if err == nil || !strings.HasPrefix(err.Error(), "invalid configuration: 1 problem:\n  "+path+": "+test[2]) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q", test[1], err, test[2])
		}
	}
	must(t, load(t, config.YAML("a:\tx\nb: |\n  x\n  \ty\nc: !!str 5\n")).CheckSections("a", "b", "c")) // tabs where YAML has them
	must(t, load(t, config.File(write(t, "a.json", `{"a": {"x": 1}, "b": {"x": [{"x": 1}, {"x": 2}]}}`))).CheckSections("a", "b"))
}

// A relative path that leads nowhere was meant for another working directory.
func TestMissingPathsNameTheWorkingDirectory(t *testing.T) {
	t.Parallel()
	folder, err := os.Getwd()
	must(t, err)
	_, err = config.Load(config.File("nowhere.yaml"))
	wantProblems(t, err, "nowhere.yaml: cannot be read: no such file or directory in the working directory "+folder)
	wantProblems(t, yamlSource(t, "password_file: nowhere/hunter2").Decode("", &everything{}),
		"password_file (inline): cannot read the file (its name is not shown): no such file or directory in the working directory "+folder)
	absent := filepath.Join(t.TempDir(), "nowhere.yaml")
	_, err = config.Load(config.File(absent))
	wantProblems(t, err, absent+": cannot be read: no such file or directory")
}

// A variable with one underscore in place of two sets nothing, and is reported with its right name.
// Those of Kubernetes and those of another purpose are left alone.
func TestMisnamedVariables(t *testing.T) {
	t.Parallel()
	source := load(t, environ(
		"FXCACHE_A_NAME=x", "FXCACHE_A_NESTED_MODE=x", "FXCACHE_A_OTHER_SIZE_MAX=x", "FXCACHE_A_PASSWORD_FILE=x", "FXCACHE_A.NAME=x", "FXCACHE_LONG_A_NAME=x",
		"FXCACHE_A_UNKNOWN=x", "FXCACHE_B_NAME=x", "FXCACHE_NAME=x", "FXCACHE_A=x", "FXCACHE_A_=x", "FXCACHE_AB_NAME=x", "OTHER_A_NAME=x",
		"FXCACHE_A_SERVICE_HOST=1", "FXCACHE_A_NESTED_SERVICE_PORT_HTTP=1", "FXCACHE_A_PORT=tcp://h:1", "FXCACHE_A_PORT_1_TCP_PROTO=tcp"))
	must(t, source.Decode("a", &everything{}, "other"))
	must(t, source.Decode("long_a", &everything{}))
	const wrong = "is not read: two underscores separate keys; write "
	wantProblems(t, source.CheckSections("a", "long_a"),
		"environment FXCACHE_A.NAME: "+wrong+"FXCACHE_A__NAME",
		"environment FXCACHE_A_NAME: "+wrong+"FXCACHE_A__NAME",
		"environment FXCACHE_A_NESTED_MODE: "+wrong+"FXCACHE_A__NESTED__MODE",
		"environment FXCACHE_A_OTHER_SIZE_MAX: "+wrong+"FXCACHE_A__OTHER__SIZE_MAX",
		"environment FXCACHE_A_PASSWORD_FILE: "+wrong+"FXCACHE_A__PASSWORD_FILE",
		"environment FXCACHE_LONG_A_NAME: "+wrong+"FXCACHE_LONG_A__NAME")
	wantProblems(t, load(t, environ("FXCACHE_A__NESTED_MODE=x")).Decode("a", &everything{}),
		"a.nested_mode (environment FXCACHE_A__NESTED_MODE): unknown key; did you mean FXCACHE_A__NESTED__MODE?")
	_, err := config.Load(environ("fxcache_a__name=x", "fxcache_x=x"))
	wantProblems(t, err, "environment fxcache_a__name: is not read, because of its letters: write FXCACHE_A__NAME")
	_, err = config.Load(config.Environ("shop_", func() []string { return []string{"SHOP_A__NAME=x"} }))
	wantProblems(t, err, "environment SHOP_A__NAME: is not read, because of its letters: write shop_A__NAME")
}

// An empty variable, such as ${REDIS_PASSWORD} of nobody, does not replace a value in silence.
func TestEmptyVariables(t *testing.T) {
	t.Parallel()
	set := config.YAML("a: {name: x, ttl: 5s, hosts: [a], empty: ''}")
	source, err := config.Load(set, environ("FXCACHE_A__NAME=", "FXCACHE_A__HOSTS=", "FXCACHE_A__EMPTY=", "FXCACHE_A__PASSWORD="))
	const empty = "is empty, and would replace the value in inline: give the variable a value, or remove it"
	wantProblems(t, err, "a.hosts (environment FXCACHE_A__HOSTS): "+empty, "a.name (environment FXCACHE_A__NAME): "+empty)
	if source == nil {
		t.Fatal("there is no source, so nothing else can be reported")
	}
	wantProblems(t, load(t, environ("FXCACHE_A__TTL=", "FXCACHE_A__COUNT=")).Decode("a", &everything{}),
		"a.count (environment FXCACHE_A__COUNT): must be a whole number, and is empty",
		"a.ttl (environment FXCACHE_A__TTL): must be a duration such as 500ms, 30s, 5m or 24h, and is empty")
}

// related is valid only if its values fit together.
type related struct {
	Low    int      `koanf:"low"`
	High   int      `koanf:"high"`
	Other  int      `koanf:"other"`
	Names  []string `koanf:"names"`
	Nested nested   `koanf:"nested"`
}

func (r *related) Complete() {
	if r.High == 0 {
		r.High = 2 * r.Low
	}
}

func (r *related) Validate() error {
	bad := func(name, reason string) error { return &cache.OptionError{Name: name, Reason: reason} }
	return errors.Join(bad("low", "must be below high"), bad("high", "is bad"), bad("other", "is bad"), bad("names", "are bad"), bad("nested.mode", "is bad"), errors.New("all is bad"))
}

// Validate speaks although another value has a wrong type. What it says of that value would be
// about the default, and is left out.
func TestValidateBesideWrongTypes(t *testing.T) {
	t.Parallel()
	source := yamlSource(t, "{p: {q: {low: 1, high: x, names: [a, 5], nested: 5, other: 1}}}")
	wantProblems(t, source.Decode("p.q", &related{}),
		"p.q: all is bad",
		"p.q.high (inline): must be a whole number",
		"p.q.names[1] (inline): must be text, not a number: put it in quotes",
		"p.q.nested (inline): must be a section of keys, not a number",
		"p.q.other (inline): is bad")
}

// completed fills in a default that depends on another key.
type completed struct {
	Low  int `koanf:"low"`
	High int `koanf:"high"`
}

func (c *completed) Complete() { c.High = max(c.High, 2*c.Low) }

func TestComplete(t *testing.T) {
	t.Parallel()
	source := yamlSource(t, "x: {low: 4}")
	var got completed
	must(t, source.Decode("x", &got))
	if want := "x:\n    high: 8\n    low: 4\n"; got.High != 8 || source.String() != want {
		t.Errorf("got %+v and\n%s", got, source)
	}
}

// hinted knows other names for its keys.
type hinted struct {
	Size int `koanf:"max_size"`
}

func (hinted) Hint(key string) string {
	return map[string]string{"capacity": "write max_size", "maxsize": "never asked"}[key]
}

func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"capacity": "; write max_size", "CAPA_CITY": "; write max_size", "maxSize": `; did you mean "max_size"?`, "max-size": `; did you mean "max_size"?`, "max_sice": `; did you mean "max_size"?`,
		"ttl": " here; did you mean cache.ttl?", "other": "; valid keys: max_size",
	} {
		source := load(t, config.Values(map[string]any{"cache": map[string]any{"l1": map[string]any{key: 1}}}))
		must(t, source.Decode("cache", &everything{}, "l1"))
		wantProblems(t, source.Decode("cache.l1", &hinted{}), "cache.l1."+key+" (code): unknown key"+want)
	}
	source := yamlSource(t, "{x-defaults: {any: 1}, x-: 1, l1: {}, X: 1}")
	must(t, source.Decode("cache", &everything{}, "l1"))
	wantProblems(t, source.CheckSections("cache"), "X (inline): unknown key; valid keys: cache", "l1 (inline): unknown key here; did you mean cache.l1?")
}

// What a shell, a Compose file or a .env file leaves around a value is no part of it.
func TestMangledVariables(t *testing.T) {
	t.Parallel()
	const quotes, blank = "is in quotes, which the environment keeps: remove them", "begins or ends with a blank: remove it"
	for variable, want := range map[string]string{
		`NAME="x"`: quotes, `NAME='x'`: quotes, `TTL="5s"`: quotes, `PASSWORD="hunter2"`: quotes, `NAME=""`: quotes, "NAME=x ": blank, "COUNT= 1": blank, "TTL=5s\r": blank,
		`HOSTS=["a","b"]`: "must be a list with commas only, without brackets and quotes: a,b,c", "HOSTS=[a,b]": "must be a list with commas only, without brackets and quotes: a,b,c",
		"HOSTS=a,,b": "has a comma with nothing before or after it: remove the comma", "HOSTS=a,": "has a comma with nothing before or after it: remove the comma",
		"PASSWORD=" + write(t, "secret", "hunter2"): "is the path of a file: if its content is meant, use the key that ends in _file",
	} {
		name, _, _ := strings.Cut(variable, "=")
		err := load(t, environ("FXCACHE_X__"+variable)).Decode("x", &everything{})
		wantProblems(t, err, "x."+strings.ToLower(name)+" (environment FXCACHE_X__"+name+"): "+want)
	}
	for _, variable := range []string{`NAME="`, `NAME=it's`, `NAME="a" "b`, "HOSTS=a, b ", "HOSTS=[::1]:1", "PASSWORD=/nowhere/at/all", "PASSWORD=/", "PASSWORD=x"} {
		must(t, load(t, environ("FXCACHE_X__"+variable)).Decode("x", &everything{}))
	}
	must(t, yamlSource(t, `{name: '"x" ', hosts: ['"a"', ' b ']}`).Decode("", &everything{}))
	_, err := config.Load(config.File(""))
	wantProblems(t, err, "the path of a file is empty")
}
