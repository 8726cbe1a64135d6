package fxtest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knadh/koanf/v2"
	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
	"go.uber.org/goleak"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/fxtest"
	"github.com/fxcache/fxcache/sessioncache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// userTest is a test as a user would write it. It must pass on any strategy that stores.
func userTest(t *testing.T, options ...fx.Option) {
	app := fxtest.New(t, options...)
	prices, err := cache.New(app.Cache, "prices", cache.Policy[int]{TTL: time.Minute, Tags: []string{"prices"}})
	if err != nil {
		t.Fatal(err)
	}
	loads := 0
	price := func() int {
		t.Helper()
		value, err := prices.GetOrLoad(t.Context(), "lamp", func(context.Context) (int, error) { loads++; return 100 + loads, nil })
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	if first, second := price(), price(); first != 101 || second != 101 {
		t.Error("the second look did not come from the cache")
	}
	app.Clock.Advance(time.Minute)
	if price() != 102 {
		t.Error("the price outlived its TTL")
	}
	if err := app.Cache.InvalidateTags(t.Context(), "prices"); err != nil {
		t.Fatal(err)
	}
	if price() != 103 {
		t.Error("the price outlived its tag")
	}
	load := func(context.Context) (*sessioncache.CachedSession, error) {
		return &sessioncache.CachedSession{ID: "1", Expires: app.Clock.Now().Add(time.Hour)}, nil
	}
	if _, found, err := app.Sessions.GetOrLoad(t.Context(), "token", load); !found || err != nil {
		t.Fatal(found, err)
	}
	if _, found, _ := app.Sessions.Get(t.Context(), "token"); !found {
		t.Error("the session is not cached")
	}
	app.Clock.Advance(time.Hour)
	if _, found, _ := app.Sessions.Get(t.Context(), "token"); found {
		t.Error("the session outlived its end")
	}
}

func TestUserTest(t *testing.T) {
	t.Parallel()
	t.Run("defaults", func(t *testing.T) { t.Parallel(); userTest(t) })
	t.Run("configured", func(t *testing.T) {
		t.Parallel()
		userTest(t, fxtest.Config("cache: {strategy: bigcache, codec: cbor, bigcache: {max_size: 16MiB}}"))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		userTest(t, fxtest.Config(fxtest.Redis(t)))
	})
	t.Run("module among the options", func(t *testing.T) {
		t.Parallel()
		userTest(t, fx.Module("shop", fxcache.Module))
	})
	t.Run("module in a struct of options", func(t *testing.T) {
		t.Parallel()
		userTest(t, fx.Options(fx.Options(fxcache.Module), fxcache.Environment("SHOP_", nil)))
	})
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	app := fxtest.New(t)
	boom := errors.New("boom")
	app.Strategy.FailNext(fxtest.OpDelete, 1, boom)
	if err := app.Cache.Delete(t.Context(), "key"); !errors.Is(err, boom) {
		t.Errorf("Delete: %v, want boom", err)
	}
	if n := app.Strategy.Count(fxtest.OpDelete); n != 1 {
		t.Errorf("%d deletions recorded, want 1", n)
	}
}

// In a synctest bubble, a delay exceeds the configured timeout without taking real time.
func TestDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := fxtest.New(t, fxtest.Config("cache: {timeout: 20ms}"))
		app.Strategy.DelayNext(fxtest.OpDelete, 1, time.Minute)
		began := time.Now()
		if err := app.Cache.Delete(t.Context(), "key"); !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("Delete: %v, want ErrUnavailable", err)
		}
		if took := time.Since(began); took != 20*time.Millisecond {
			t.Errorf("it took %v, want 20ms", took)
		}
	})
}

// Without a configured timeout, tests get one that is long enough for a slow machine. A configured
// timeout applies, even if it equals the production default.
func TestTimeout(t *testing.T) {
	t.Parallel()
	production := cache.Options{}.WithDefaults().Timeout
	inCode := func(timeout time.Duration) fx.Option {
		return fxcache.CacheOptions(func(o *cache.Options) { o.Timeout = timeout })
	}
	file := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(file, []byte("cache: {timeout: "+production.String()+"}"), 0o600); err != nil {
		t.Fatal(err)
	}
	own := koanf.New(".")
	if err := own.Set("shop.cache.timeout", production.String()); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		option fx.Option
		want   time.Duration
	}{
		"not configured":           {fx.Options(), 10 * time.Second},
		"other keys":               {fxtest.Config("cache: {lock_wait: 1s}"), 10 * time.Second},
		"configured":               {fxtest.Config("cache: {timeout: 1s}"), time.Second},
		"the default":              {fxtest.Config("cache: {timeout: " + production.String() + "}"), production},
		"the default, in a file":   {fxcache.ConfigFile(file), production},
		"the default, in a koanf":  {fxcache.Config(own, "shop"), production},
		"the default, in code":     {inCode(production), production},
		"in code, over Config":     {fx.Options(fxtest.Config("cache: {timeout: 1s}"), inCode(2*time.Second)), 2 * time.Second},
		"an empty section of file": {fxtest.Config("cache: {}"), 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if timeout := fxtest.New(t, test.option).Cache.Options().Timeout; timeout != test.want {
				t.Errorf("timeout %v, want %v", timeout, test.want)
			}
		})
	}
}

// Constructors and invocations run once, wherever the application has the module, and if it does
// not have it.
func TestBuiltOnce(t *testing.T) {
	t.Parallel()
	quiet := fx.WithLogger(func() fxevent.Logger { return fxevent.NopLogger })
	for name, module := range map[string]fx.Option{
		"nowhere":                        fx.Options(),
		"among the options":              fxcache.Module,
		"in options":                     fx.Options(fx.Options(fxcache.Module)),
		"in a module":                    fx.Module("shop", fxcache.Module),
		"in a module that logs nothing":  fx.Module("shop", quiet, fxcache.Module),
		"nowhere, but one is named so":   fx.Module("fxcache", fx.Supply("text")),
		"nowhere, but text says it is":   fx.Supply(`fx.Module("fxcache"`),
		"in a module, with another name": fx.Module("shop", fx.Module("fxcache", fx.Supply("text")), fxcache.Module),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			constructed, invoked := 0, 0
			app := fxtest.New(t, fx.Provide(func(*cache.Service) *int { constructed++; return &constructed }),
				module, fx.Invoke(func(*int) { invoked++ }))
			if constructed != 1 || invoked != 1 {
				t.Errorf("constructed %d times, invoked %d times", constructed, invoked)
			}
			if app.Cache == nil || app.Sessions == nil || app.Strategy == nil {
				t.Errorf("%+v", app)
			}
		})
	}
}

func TestNoEnvironment(t *testing.T) {
	t.Setenv("FXCACHE_CACHE__NAMESPACE", "environment")
	if namespace := fxtest.New(t).Cache.Options().Namespace; namespace == "environment" {
		t.Error("a test must not depend on the environment")
	}
}

func TestConfigThatIsNoYAML(t *testing.T) {
	t.Parallel()
	app := fx.New(fxcache.Module, fxtest.Config("cache: ]["), fx.NopLogger)
	if err := app.Err(); err == nil || !strings.Contains(err.Error(), "fxtest.Config") {
		t.Errorf("%v", err)
	}
}

// If the application cannot be built, started or stopped, the test fails and says why.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"build": `there is no such strategy`, "start": "no start today", "stop": "no stop today", "twice": "already provided",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFailing$", "-test.v")
			command.Env = append(os.Environ(), "FXTEST_FAIL="+name)
			out, err := command.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestFailing") || !strings.Contains(string(out), want) {
				t.Errorf("%v, want a failed test that says %q:\n%s", err, want, out)
			}
		})
	}
}

// TestFailing does nothing by itself: TestFailures runs it, in a process of its own.
func TestFailing(t *testing.T) {
	switch os.Getenv("FXTEST_FAIL") {
	case "build":
		fxtest.New(t, fxtest.Config("cache: {strategy: nosuch}"))
	case "twice":
		fxtest.New(t, fxcache.Module, fxcache.Module)
	case "start":
		fxtest.New(t, fx.Invoke(func(lc fx.Lifecycle) {
			lc.Append(fx.StartHook(func() error { return errors.New("no start today") }))
		}))
	case "stop":
		fxtest.New(t, fx.Invoke(func(lc fx.Lifecycle) {
			lc.Append(fx.StopHook(func() error { return errors.New("no stop today") }))
		}))
	}
}
