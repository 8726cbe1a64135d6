package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/config"
)

func TestChanges(t *testing.T) {
	t.Parallel()
	const base = `{cache: {ttl: 5s, size: 1, list: [a, b], redis: {db: 0}}}`
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"the same":             {base, nil},
		"formatting":           {"# a comment\ncache:\n    size: 1 # one\n    redis:\n        db: 0\n    list:\n        - a\n        - \"b\"\n    ttl: '5s'\n", nil},
		"anchors":              {"x-a: &a {db: 0}\ncache: {ttl: 5s, size: 1, list: [a, b], redis: {<<: *a}}", nil},
		"a value":              {`{cache: {ttl: 6s, size: 1, list: [a, b], redis: {db: 0}}}`, []string{"cache.ttl"}},
		"a type":               {`{cache: {ttl: 5s, size: "1", list: [a, b], redis: {db: 0}}}`, []string{"cache.size"}},
		"the order of a list":  {`{cache: {ttl: 5s, size: 1, list: [b, a], redis: {db: 0}}}`, []string{"cache.list"}},
		"a key is gone":        {`{cache: {ttl: 5s, list: [a, b], redis: {db: 0}}}`, []string{"cache.size"}},
		"a key without value":  {`{cache: {ttl: 5s, size: , list: [a, b], redis: {db: 0}}}`, []string{"cache.size"}},
		"a key is new":         {`{cache: {ttl: 5s, size: 1, more: , list: [a, b], redis: {db: 0}}}`, []string{"cache.more"}},
		"a section is emptied": {`{cache: {ttl: 5s, size: 1, list: [a, b], redis: {}}}`, []string{"cache.redis.db"}},
		"a section is gone":    {`{cache: {ttl: 5s, size: 1, list: [a, b]}}`, []string{"cache.redis.db"}},
		"a section is new":     {`{cache: {ttl: 5s, size: 1, list: [a, b], redis: {db: 0, tls: {}}}}`, []string{"cache.redis.tls"}},
		"several":              {`{cache: {ttl: 5, size: 2, list: [a, b], redis: {db: 1}}, other: 1}`, []string{"cache.redis.db", "cache.size", "cache.ttl", "other"}},
	} {
		before, after := yamlSource(t, base), yamlSource(t, test.text)
		if got := config.Changes(before, after); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if got := config.Changes(after, before); !slices.Equal(got, test.want) {
			t.Errorf("%s, the other way: %q, want %q", name, got, test.want)
		}
	}
}

// Neither the format of a file nor the input makes a difference, but what wins does.
func TestChangesBetweenInputs(t *testing.T) {
	t.Parallel()
	before := load(t, config.YAML("cache: {size: 1, ratio: 0.5, ttl: 5s, wide: 9007199254740993}"))
	for name, inputs := range map[string][]config.Input{
		"JSON": {config.File(write(t, "a.json", `{"cache": {"size": 1, "ratio": 0.5, "ttl": "5s", "wide": 9007199254740992}}`))},
		"TOML": {config.File(write(t, "a.toml", "[cache]\nttl = '5s'\nsize = 1\nratio = 0.5\nwide = 9007199254740993\n"))},
		"environment": {config.YAML("cache: {size: 1, ratio: 0.5, ttl: 4s, wide: 9007199254740993}"),
			environ("FXCACHE_CACHE__TTL=5s")},
		"code": {config.Values(map[string]any{"cache.size": uint8(1), "cache.ratio": float32(0.5), "cache.ttl": "5s", "cache.wide": int64(9007199254740993)})},
	} {
		if got := config.Changes(before, load(t, inputs...)); len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := config.Changes(before, load(t, config.YAML("cache: {size: 1, ratio: 0.5, ttl: 5s, wide: 9007199254740992}"))); len(got) != 1 {
		t.Errorf("a large number: %q", got)
	}
	if got := config.Changes(before, load(t, config.YAML("cache: {size: 1, ratio: 0.5, ttl: 5s, wide: 9007199254740993}"),
		environ("FXCACHE_CACHE__TTL=6s"))); !slices.Equal(got, []string{"cache.ttl"}) {
		t.Errorf("environment: %q", got)
	}
	secret := func(text string) *config.Source {
		return load(t, config.Values(map[string]any{"cache.password": cache.NewSecret(text), "cache.wait": time.Second}))
	}
	if got := config.Changes(secret("a"), secret("a")); len(got) > 0 {
		t.Errorf("secrets in code: %q", got)
	}
	if got := config.Changes(secret("a"), secret("b")); !slices.Equal(got, []string{"cache.password"}) {
		t.Errorf("secrets in code: %q", got)
	}
	if got := config.Changes(new(config.Source), new(config.Source)); len(got) > 0 {
		t.Errorf("zero Sources: %q", got)
	}
}

// In an application's koanf, only what belongs to the cache counts, and paths are those within it.
func TestChangesInAKoanf(t *testing.T) {
	t.Parallel()
	source := func(path string, values map[string]any) *config.Source {
		k := koanf.New(".")
		must(t, k.Load(confmap.Provider(values, "."), nil))
		s := load(t, config.From(k, path))
		must(t, s.CheckSections("cache"))
		return s
	}
	got := config.Changes(source("", map[string]any{"cache.ttl": 1, "database.url": "a"}), source("", map[string]any{"cache.ttl": 2, "database.url": "b"}))
	if !slices.Equal(got, []string{"cache.ttl"}) {
		t.Errorf("in the root: %q", got)
	}
	got = config.Changes(source("app", map[string]any{"app.cache.ttl": 1}), source("app", map[string]any{"app.cache.ttl": 2}))
	if !slices.Equal(got, []string{"app.cache.ttl"}) {
		t.Errorf("below a path: %q", got)
	}
}

// withPassword is a section with a secret.
type withPassword struct {
	Password cache.Secret `koanf:"password"`
}

func TestChangesOfSecretFiles(t *testing.T) {
	t.Parallel()
	path := write(t, "password", "hunter2-old\n")
	source := func(decode bool) *config.Source {
		s := yamlSource(t, "cache: {redis: {password_file: "+path+"}}")
		if decode {
			must(t, s.Decode("cache.redis", new(withPassword)))
		}
		return s
	}
	before, same, other := source(true), source(true), source(false)
	must(t, os.WriteFile(path, []byte("hunter2-new\n"), 0o600))
	after := source(true)
	if got := config.Changes(before, same); len(got) > 0 {
		t.Errorf("the same: %q", got)
	}
	if got := config.Changes(before, after); !slices.Equal(got, []string{"cache.redis.password_file"}) {
		t.Errorf("another password: %q", got)
	}
	if got := config.Changes(before, after, "cache.redis"); len(got) > 0 {
		t.Errorf("its owner follows it: %q", got)
	}
	if got := config.Changes(before, after, "cache.red", "redis"); len(got) != 1 {
		t.Errorf("others follow theirs: %q", got)
	}
	if got := config.Changes(before, other); len(got) != 1 { // it is read for the comparison
		t.Errorf("not decoded: %q", got)
	}
	// One Source is one snapshot.
	var once withPassword
	must(t, before.Decode("cache.redis", &once))
	if once.Password.Reveal() != "hunter2-old" {
		t.Error("the file was read a second time")
	}
	must(t, before.At("cache.redis").Reread(&once))
	if once.Password.Reveal() != "hunter2-new" {
		t.Error("the file was not read again")
	}
	if got := config.Changes(before, same); len(got) > 0 {
		t.Errorf("Reread has changed the Source: %q", got)
	}
	must(t, config.Section{}.Reread(&once))
}

func TestEmptied(t *testing.T) {
	t.Parallel()
	path := write(t, "a.yaml", "cache: {ttl: 5s}\n")
	toml := write(t, "b.toml", "# nothing\n")
	source := func() *config.Source { return load(t, config.File(path, toml)) }
	before := source()
	for text, want := range map[string]bool{
		"": true, "\n \n": true, "# only\n  # comments": true, "---\n": true, "\ufeff---\n...\n": true,
		"{}": false, "cache: {}": false, "---\ncache: {ttl: 5s}\n": false,
	} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		after := source()
		err := config.Emptied(before, after)
		if (err != nil) != want {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && !strings.Contains(err.Error(), filepath.Base(path)+": is empty, and had content before") {
			t.Errorf("%q: %v", text, err)
		}
		if err := config.Emptied(after, after); err != nil {
			t.Errorf("%q: it was empty before: %v", text, err)
		}
	}
}

// What was read has names, and no values.
func TestInputs(t *testing.T) {
	t.Parallel()
	app := koanf.New(".")
	must(t, app.Load(confmap.Provider(map[string]any{"app.cache.ttl": "5s"}, "."), nil))
	one, two := write(t, "a.yaml", "cache: {redis: {}}"), write(t, "b.toml", "")
	password := write(t, "password", "hunter2-file")
	source := load(t, config.File(one, two), config.Values(map[string]any{"cache.b": 1}), config.Values(nil), config.From(app, "app"),
		config.Defaults(map[string]any{"cache.a": 1}), config.YAML(""),
		environ("FXCACHE_CACHE__REDIS__PASSWORD_FILE="+password, "FXCACHE_CACHE__REDIS__DB=hunter2-db", "FXCACHE_PORT=1", "PATH=x"))
	is := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	is("files", source.Files(), one, two)
	if err := source.Decode("cache.redis", new(withPassword)); err == nil {
		t.Error("db is not a key there")
	}
	is("files", source.Files(), one, two, password)
	is("variables", source.Variables(), "FXCACHE_CACHE__REDIS__DB", "FXCACHE_CACHE__REDIS__PASSWORD_FILE")
	is("others", source.Others(), "defaults", "koanf at app", "inline", "code")
	app = koanf.New(".")
	is("others", load(t, config.From(app, "")).Others(), "koanf")

	// The path of a file that cannot be read may be a password.
	source = yamlSource(t, "cache: {redis: {password_file: hunter2}}")
	if err := source.Decode("cache.redis", new(withPassword)); err == nil {
		t.Error("there is no such file")
	}
	is("files", source.Files())
	is("to watch", source.Depends(), "hunter2")
}
