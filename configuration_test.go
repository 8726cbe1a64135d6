package fxcache_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/strategies/noop"
)

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// One error lists every problem when the application is built, and shows nothing of dig. It is the
// same error whichever part of the application asks first.
func TestConfigurationErrors(t *testing.T) {
	t.Parallel()
	path := file(t, "fxcache.yaml", `
cache:
  strategy: bigcashe
  max_ttl: 30
  max_valu_bytes: 1MiB
  codec: xml
  bigcache: {max_size: 64MiB}
session_cache:
  stale_after: -1s
sesion_cache: {}
`)
	user := fx.Module("user", fx.Invoke(func(sessioncache.Sessions) {}))
	for name, options := range map[string]fx.Option{
		"module": fx.Options(fxcache.Module),
		"before": fx.Options(fxcache.Module, fx.Invoke(func(*cache.Service) {})),
		"user":   fx.Options(user, fxcache.Module),
	} {
		app := fx.New(options, fxcache.ConfigFile(path), fx.NopLogger)
		var problems *config.Error
		if err := app.Err(); !errors.As(err, &problems) {
			t.Fatalf("%s: %v, want a *config.Error", name, err)
		}
		text := problems.Error()
		if name != "user" && app.Err().Error() != text {
			t.Errorf("%s: dig speaks: %v", name, app.Err())
		}
		for _, want := range []string{"cache.max_ttl", "has no unit", `did you mean "max_value_bytes"?`,
			"session_cache.stale_after", `did you mean "session_cache"?`} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing in:\n%s", name, want, text)
			}
		}
	}
}

func TestUnknownStrategyListsTheKnown(t *testing.T) {
	t.Parallel()
	err := newApp(
		fxcache.Register(driver.Factory{Name: "alpha", New: func(driver.Decoder) (driver.Strategy, error) { return noop.Strategy{}, nil }}),
		fxcache.Override(map[string]any{"cache.strategy": "bigcashe", "cache.codec": "xml", "session_cache.strategy": "x"}),
	).Err()
	for _, want := range []string{`cache.strategy (code): there is no such strategy; choose one of alpha, bigcache, noop, redis`,
		`session_cache.strategy (code): there is no such strategy; choose one of default, noop`, "cache.codec"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

// A third party's section is read as strictly as the built-in ones, and its problems are reported
// together with the others.
func TestThirdPartySection(t *testing.T) {
	t.Parallel()
	type options struct {
		Weight int `koanf:"weight"`
	}
	weights := map[string]int{}
	factory := func(name string) fx.Option {
		return fxcache.Register(driver.Factory{Name: name, New: func(cfg driver.Decoder) (driver.Strategy, error) {
			o := options{Weight: 7}
			err := cfg.Decode(&o)
			weights[name] = o.Weight
			return noop.Strategy{}, err
		}})
	}
	app := newApp(factory("heavy"), factory("light"), fxcache.Override(map[string]any{
		"cache.strategy": "heavy", "cache.heavy.weight": 9, "cache.light.wait": 1}))
	if err := app.Err(); err != nil || len(weights) != 1 || weights["heavy"] != 9 {
		t.Errorf("err %v, built %v; want only the selected strategy, with its weight", err, weights)
	}
	err := newApp(factory("heavy"), fxcache.Override(map[string]any{
		"cache.strategy": "heavy", "cache.heavy.wait": 9, "cache.max_ttl": "soon", "cache.havy.weight": 1})).Err()
	for _, want := range []string{"cache.heavy.wait", "cache.max_ttl", `cache.havy (code): unknown key; did you mean "heavy"?`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

func TestRegistrationErrors(t *testing.T) {
	t.Parallel()
	build := func(driver.Decoder) (driver.Strategy, error) { return noop.Strategy{}, nil }
	sessions := func(driver.Decoder) (sessioncache.Strategy, error) { return sessioncache.Noop{}, nil }
	boom := func(driver.Decoder) (driver.Strategy, error) { panic("boom") }
	null := func(driver.Decoder) (driver.Strategy, error) { return nil, nil }
	for want, options := range map[string]fx.Option{
		`two strategies are registered under the name "noop"`:    fxcache.Register(driver.Factory{Name: "noop", New: build}),
		`two strategies are registered under the name "default"`: fxcache.RegisterSession(sessioncache.Factory{Name: "default", New: sessions}),
		`under the name "codec", which is an option`:             fxcache.Register(driver.Factory{Name: "codec", New: build}),
		`under the name "max_ttl", which is an option`:           fxcache.Register(driver.Factory{Name: "max_ttl", New: build}),
		`under the name "ttl", which is an option`:               fxcache.RegisterSession(sessioncache.Factory{Name: "ttl", New: sessions}),
		`under the name "Big Cache": use lower case`:             fxcache.Register(driver.Factory{Name: "Big Cache", New: build}),
		`the strategy "empty" is registered without New`:         fxcache.Register(driver.Factory{Name: "empty"}),
		"ConfigFile and ConfigFile are given together":           fx.Options(fxcache.ConfigFile("a.yaml"), fxcache.ConfigFile("b.yaml")),
		"Config and ConfigFile are given together":               fx.Options(fxcache.ConfigFile("a.yaml"), fxcache.Config(koanf.New("."), "")),
		"Override and Override are given together":               fx.Options(fxcache.Override(nil), fxcache.Override(nil)),
		"Environment is given more than once":                    fx.Options(fxcache.Environment("A_", nil), fxcache.Environment("B_", nil)),
		"Environment or WithoutEnvironment is given more":        fxcache.WithoutEnvironment(nil), // newApp has a list of variables
		"panicked with a string":                                 fx.Options(fxcache.Register(driver.Factory{Name: "x", New: boom}), fxcache.Override(map[string]any{"cache.strategy": "x"})),
		"the factory returned no strategy":                       fx.Options(fxcache.Register(driver.Factory{Name: "x", New: null}), fxcache.Override(map[string]any{"cache.strategy": "x"})),
		"missing.yaml":                                           fxcache.ConfigFile("missing.yaml"),
	} {
		if err := newApp(options).Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Later sources win: defaults, files, the environment, code.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	first := file(t, "a.yaml", "cache: {namespace: file, max_tags: 1, max_ttl: 1h, lock_wait: 1s}")
	second := file(t, "b.toml", "[cache]\nmax_tags = 2\nmax_ttl = '2h'\nlock_wait = '2s'")
	var service *cache.Service
	app := fx.New(fxcache.Module, fx.NopLogger, fxcache.ConfigFile(first, second),
		fxcache.Environment("SHOP_", func() []string {
			return []string{"SHOP_CACHE__MAX_TTL=3h", "SHOP_CACHE__LOCK_WAIT=3s", "FXCACHE_CACHE__MAX_TAGS=9"}
		}),
		fxcache.Override(map[string]any{"cache.lock_wait": "4s"}),
		fx.Populate(&service))
	if err := app.Err(); err != nil {
		t.Fatal(err)
	}
	o := service.Options()
	if o.Namespace != "file" || o.MaxTags != 2 || o.MaxTTL.Hours() != 3 || o.LockWait.Seconds() != 4 || o.Timeout.Milliseconds() != 50 {
		t.Errorf("namespace %q, max_tags %d, max_ttl %v, lock_wait %v, timeout %v", o.Namespace, o.MaxTags, o.MaxTTL, o.LockWait, o.Timeout)
	}
}

// Without the environment, every configured value wins over the given defaults.
func TestWithoutEnvironment(t *testing.T) {
	t.Setenv("FXCACHE_CACHE__NAMESPACE", "environment")
	t.Setenv("SHOP_CACHE__NAMESPACE", "environment")
	defaults := map[string]any{"cache": map[string]any{"timeout": 2 * time.Second, "namespace": "default"}, "cache.max_tags": 1, "cache.lock_wait": "1s"}
	for name, test := range map[string]struct {
		defaults map[string]any
		want     string
	}{
		"none":  {nil, "namespace app, max_tags 2, lock_wait 4s, timeout 50ms"},
		"three": {defaults, "namespace default, max_tags 2, lock_wait 4s, timeout 2s"},
	} {
		var service *cache.Service
		app := fx.New(fxcache.Module, fx.NopLogger, fxcache.WithoutEnvironment(test.defaults), fxcache.Environment("SHOP_", nil),
			fxcache.ConfigFile(file(t, "a.yaml", "cache: {max_tags: 2}")), fxcache.Override(map[string]any{"cache.lock_wait": "4s"}),
			fx.Populate(&service))
		if err := app.Err(); err != nil {
			t.Fatal(err)
		}
		o := service.Options()
		if got := fmt.Sprintf("namespace %s, max_tags %d, lock_wait %v, timeout %v", o.Namespace, o.MaxTags, o.LockWait, o.Timeout); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// The configuration may be part of an application's own koanf, under any path.
func TestConfigFromKoanf(t *testing.T) {
	t.Parallel()
	k := koanf.New(".")
	if err := k.Load(confmap.Provider(map[string]any{
		"server.port": 80, "infra.shop.cache.namespace": "shop", "infra.shop.cache.codec": "cbor"}, "."), nil); err != nil {
		t.Fatal(err)
	}
	var service *cache.Service
	app := newApp(fxcache.Config(k, "infra.shop"), fx.Populate(&service))
	if err := app.Err(); err != nil || service.Options().Namespace != "shop" || service.Options().Codec.Name() != "cbor" {
		t.Errorf("%v", err)
	}
	err := newApp(fxcache.Config(k, "infra")).Err()
	if err == nil || !strings.Contains(err.Error(), "infra.shop") {
		t.Errorf("%v, want a problem with the full path", err)
	}
}

// The defaults are bigcache and the default session strategy.
func TestDefaults(t *testing.T) {
	t.Parallel()
	var service *cache.Service
	var strategy sessioncache.Strategy
	var sessions *sessioncache.Default
	var source *config.Source
	app := newApp(fx.Populate(&service, &strategy, &sessions, &source))
	if err := app.Err(); err != nil {
		t.Fatal(err)
	}
	if service.Options().StrategyName != "bigcache" || strategy != sessioncache.Strategy(sessions) {
		t.Errorf("strategy %q, sessions %T", service.Options().StrategyName, strategy)
	}
	if text := source.String(); !strings.Contains(text, "max_size: 64MiB") || !strings.Contains(text, "stale_after: 5m0s") {
		t.Errorf("the effective configuration lacks defaults:\n%s", text)
	}
}

func TestNoopSessions(t *testing.T) {
	t.Parallel()
	noopSessions := fxcache.Override(map[string]any{"session_cache.strategy": "noop"})
	var sessions sessioncache.Sessions
	if err := newApp(noopSessions, fx.Populate(&sessions)).Err(); err != nil {
		t.Error(err)
	}
	var selected *sessioncache.Default
	err := newApp(noopSessions, fx.Populate(&selected)).Err()
	if err == nil || !strings.Contains(err.Error(), `session_cache.strategy is "noop", which is not a *sessioncache.Default`) {
		t.Errorf("%v, want an error that says what is selected", err)
	}
}

// The module uses what the application provides. CacheOptions and Wrap change what the file cannot.
func TestOptionsInCode(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	var service *cache.Service
	var wrapped driver.Strategy
	app := newApp(fx.Supply(logger), fx.Populate(&service),
		fxcache.CacheOptions(func(o *cache.Options) { o.Namespace = "code" }),
		fxcache.SessionOptions(func(o *sessioncache.Options) { o.Tags = func(*sessioncache.CachedSession) []string { return nil } }),
		fxcache.Wrap(func(s driver.Strategy) driver.Strategy { wrapped = s; return s }))
	if err := app.Err(); err != nil {
		t.Fatal(err)
	}
	if service.Options().Logger != logger || service.Options().Namespace != "code" || wrapped == nil {
		t.Errorf("logger taken: %t, namespace %q, wrapped %T", service.Options().Logger == logger, service.Options().Namespace, wrapped)
	}
	bad := newApp(fxcache.CacheOptions(func(o *cache.Options) { o.MaxTags = -1 })).Err()
	var problems *config.Error
	if !errors.As(bad, &problems) {
		t.Errorf("%v, want a *config.Error", bad)
	}
}
