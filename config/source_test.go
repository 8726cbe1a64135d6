package config_test

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
)

var _ driver.Rereader = config.Section{}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustMkdir(t testing.TB, path string) {
	t.Helper()
	must(t, os.Mkdir(path, 0o700))
}

func TestSection(t *testing.T) {
	t.Parallel()
	got := nested{Mode: "default"}
	must(t, yamlSource(t, "cache: {x: {wait: 1s}}").At("cache.x").Decode(&got))
	if got != (nested{"default", time.Second}) {
		t.Errorf("got %+v", got)
	}
	must(t, config.Section{}.Decode(&got))
	wantProblems(t, config.Section{}.Decode(&strict{}), "is hopeless", "name (default): must not be empty")
	must(t, new(config.Source).CheckSections("x"))
	if text := new(config.Source).String(); text != "{}\n" {
		t.Errorf("the zero Source is %q", text)
	}
}

func TestCheckSections(t *testing.T) {
	t.Parallel()
	source := load(t, config.YAML("{cache: {}, cahce: {}, sesion_cache: 5, database: {}, cache.ttl: 5s}"), environ("FXCACHE_CACHES__X=1"))
	wantProblems(t, source.CheckSections("cache", "session_cache"),
		`"cache.ttl" (inline): unknown key: a dot does not open a section; write cache: on a line of its own, and the rest below it`,
		`caches (environment FXCACHE_CACHES__X): unknown key; did you mean "cache"?`,
		`cahce (inline): unknown key; did you mean "cache"?`,
		`database (inline): unknown key; valid keys: cache, session_cache`,
		`sesion_cache (inline): unknown key; did you mean "session_cache"?`)

	app := koanf.New(".")
	must(t, app.Load(confmap.Provider(map[string]any{"cache.name": "x", "cahce.name": "x", "cash": 1, "database.url": "x", "sesion_cahce": 1}, "."), nil))
	source = load(t, config.From(app, ""), environ("FXCACHE_OTHER__X=1"))
	wantProblems(t, source.CheckSections("cache", "session_cache"),
		`cahce (koanf): unknown key; did you mean "cache"?`,
		`other (environment FXCACHE_OTHER__X): unknown key; valid keys: cache, session_cache`,
		`sesion_cahce (koanf): unknown key; did you mean "session_cache"?`)
}

func TestStringShowsTheEffectiveConfiguration(t *testing.T) {
	t.Parallel()
	source := load(t, config.YAML("{cache: {namespace: shop, x: {wait: 1s}, other: {raw: [1, 2.5, null]}}}"), environ("FXCACHE_CACHE__MAX_TAGS=5"))
	options := cache.Options{}.WithDefaults()
	must(t, source.Decode("cache", &options, "x", "other"))
	must(t, source.At("cache.x").Decode(&nested{Mode: "default"}))
	if err := source.Decode("cache.other", &nested{Mode: "not decoded"}); err == nil {
		t.Fatal("no error")
	}
	const want = `cache:
    breaker_failures: 10
    breaker_pause: 1s
    default_ttl: 0s
    handover: 30s
    lock_wait: 2s
    max_concurrent_loads: 100
    max_key_bytes: 1KiB
    max_pending_revocations: 10000
    max_tags: 5
    max_ttl: 720h0m0s
    max_value_bytes: 1MiB
    namespace: shop
    other:
        raw:
            - '[redacted]'
            - '[redacted]'
            - null
    timeout: 50ms
    x:
        mode: default
        wait: 1s
`
	for range 2 { // showing it does not change it
		if got := source.String(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestSourceIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	source := yamlSource(t, "{a: {labels: {k: v}, hosts: [x]}, b: {labels: {k: v}}}")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			got := everything{Labels: map[string]string{"own": fmt.Sprint(i)}}
			if err := source.Decode([]string{"a", "b"}[i%2], &got); err != nil || len(got.Labels) != 2 {
				t.Errorf("%v %v", got.Labels, err)
			}
			_ = source.String()
			_ = source.CheckSections("a", "b")
		})
	}
	all.Wait()
}

func TestJoin(t *testing.T) {
	t.Parallel()
	a := config.Problem{Path: "a", Origin: "code", Message: "is a"}
	b := config.Problem{Path: "b", Message: "is b"}
	var none *config.Error
	if err := config.Join(nil, none, errors.Join(nil, nil)); err != nil {
		t.Errorf("nothing joined is %v", err)
	}
	err := config.Join(
		&config.Error{Problems: []config.Problem{b, a}}, nil,
		fmt.Errorf("wrapped: %w", &config.Error{Problems: []config.Problem{a}}),
		errors.Join(errors.New("plain"), &config.Error{Problems: []config.Problem{b}}),
		errors.New("two\nlines"))
	wantProblems(t, err, "plain", "two\nlines", "a (code): is a", "b: is b")
	const want = "invalid configuration: 4 problems:\n  plain\n  two\n    lines\n  a (code): is a\n  b: is b"
	if err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if got, want := config.Join(errors.New("x")).Error(), "invalid configuration: 1 problem:\n  x"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := (config.Problem{Origin: "a.yaml", Message: "is bad"}).String(), "a.yaml: is bad"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
