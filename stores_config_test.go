package fxcache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/fxtest"
	"github.com/fxcache/fxcache/strategies/noop"
)

// Every mistake in the sections of stores and caches is an error with the whole path and where it
// comes from.
func TestMistakesInStores(t *testing.T) {
	t.Parallel()
	const redis = "strategy: redis, namespace: shop, redis: {addresses: ['127.0.0.1:1']}"
	for text, want := range map[string]string{
		"cache: {stores: {default: {strategy: noop}}}":                                                            `cache.stores.default: is no name for a store`,
		"cache: {stores: {Sessions: {strategy: noop}}}":                                                           `cache.stores.Sessions: is no name for a store`,
		"cache: {stores: {'a b': {strategy: noop}}}":                                                              `cache.stores.a b: is no name for a store`,
		"cache: {stores: {'a.b': {strategy: noop}}}":                                                              `cache.stores.a.b: is no name for a store`,
		"cache: {caches: {user.profile: {ttl: 0s}}}":                                                              `cache.caches.user.profile.ttl`,
		"cache: {stores: sessions}":                                                                               `cache.stores (FILE)`,
		"cache: {stores: [sessions]}":                                                                             `cache.stores (FILE)`,
		"cache: {stores: {a: noop}}":                                                                              `cache.stores.a (FILE)`,
		"cache: {stores: {a: {strategy: memcached}}}":                                                             `cache.stores.a.strategy (FILE): there is no such strategy; choose one of bigcache, noop, redis, tiered`,
		"cache: {stores: {a: {strategy: Redis}}}":                                                                 `cache.stores.a.strategy (FILE): must be in lower case`,
		"cache: {stores: {a: {max_tag: 3}}}":                                                                      `cache.stores.a.max_tag (FILE): unknown key; did you mean "max_tags"?`,
		"cache: {stores: {a: {ttl: 3m}}}":                                                                         `cache.stores.a.ttl (FILE): unknown key; write default_ttl with a unit`,
		"cache: {stores: {a: {host: h}}}":                                                                         `write it in the section redis of the store`,
		"cache: {stores: {a: {codec: json}}}":                                                                     `cache.stores.a.codec (FILE): unknown key`,
		"cache: {stores: {a: {stores: {}}}}":                                                                      `cache.stores.a.stores (FILE): unknown key`,
		"cache: {stores: {a: {caches: {}}}}":                                                                      `cache.stores.a.caches (FILE): unknown key`,
		"cache: {stores: {a: {timeout: 30}}}":                                                                     `cache.stores.a.timeout (FILE): has no unit`,
		"cache: {stores: {a: {timeout: 2m}}}":                                                                     `cache.stores.a.timeout (FILE): must be at most 1m0s`,
		"cache: {stores: {a: {max_tags: 0}}}":                                                                     `cache.stores.a.max_tags (FILE): must be between 1 and 4096`,
		"cache: {stores: {a: {default_ttl: 2h, max_ttl: 1h}}}":                                                    `cache.stores.a.default_ttl (FILE): must not exceed max_ttl`,
		"cache: {stores: {a: {redis: {}}}}":                                                                       `cache.stores.a.redis (FILE): is not used, because bigcache is the default`,
		"cache: {stores: {a: {strategy: bigcache, bigcache: {max_siz: 1}}}}":                                      `cache.stores.a.bigcache.max_siz (FILE): unknown key; did you mean "max_size"?`,
		"cache: {stores: {a: {strategy: redis, namespace: x, redis: {lanes: 0}}}}":                                `cache.stores.a.redis.lanes (FILE)`,
		"cache: {stores: {a: {strategy: redis}}}":                                                                 `cache.stores.a.namespace: must be set, to anything but "app"`,
		"cache: {stores: {a: {strategy: redis, namespace: '${NAME}'}}}":                                           `cache.stores.a.namespace (FILE)`,
		"cache: {" + redis + ", stores: {a: {" + redis + "}}}":                                                    `cache.stores.a.namespace: must differ from that of the store "default"`,
		"cache: {namespace: s, stores: {a: {" + redis + "}, b: {" + redis + "}}}":                                 `cache.stores.b.namespace: must differ from that of the store "a"`,
		"cache: {caches: {product: {store: nowhere}}}":                                                            `cache.caches.product.store (FILE): there is no such store; choose one of default, or add it to cache.stores`,
		"cache: {stores: {a: {}, b: {}}, caches: {product: {store: c}}}":                                          `choose one of default, a, b, or add it`,
		"cache: {caches: {product: {tll: 1m}}}":                                                                   `cache.caches.product.tll (FILE): unknown key; did you mean "ttl"?`,
		"cache: {caches: {product: {ttl: 30}}}":                                                                   `cache.caches.product.ttl (FILE): has no unit`,
		"cache: {caches: {product: {ttl: 0s}}}":                                                                   `cache.caches.product.ttl (FILE): must be positive; to switch the cache off, write enabled: false`,
		"cache: {caches: {product: {ttl: -1s}}}":                                                                  `cache.caches.product.ttl (FILE): must not be negative`,
		"cache: {caches: {product: {stale_for: -1s}}}":                                                            `cache.caches.product.stale_for (FILE): must not be negative`,
		"cache: {caches: {product: {negative_ttl: 1us}}}":                                                         `cache.caches.product.negative_ttl (FILE)`,
		"cache: {caches: {product: {jitter: 2}}}":                                                                 `cache.caches.product.jitter (FILE): must be between 0 and 1`,
		"cache: {caches: {product: {early_refresh: 101}}}":                                                        `cache.caches.product.early_refresh (FILE): must be between 0 and 100`,
		"cache: {caches: {product: {enabled: maybe}}}":                                                            `cache.caches.product.enabled (FILE)`,
		"cache: {caches: {product: {codec: xml}}}":                                                                `cache.caches.product.codec (FILE)`,
		"cache: {caches: [product]}":                                                                              `cache.caches (FILE)`,
		"session_cache: {store: sessions}":                                                                        `session_cache.store (FILE): there is no such store; choose one of default, or add it to cache.stores`,
		"{cache: {stores: {a: {}}, caches: {session: {store: default}}}, session_cache: {store: a}}":              `session_cache.store: differs from cache.caches.session.store: remove one of the two`,
		"{cache: {stores: {a: {}}, caches: {login: {store: default}}}, session_cache: {store: a, prefix: login}}": `session_cache.store: differs from cache.caches.login.store`,
	} {
		path := file(t, "a.yaml", text)
		err := newApp(fxcache.ConfigFile(path)).Err()
		var invalid *config.Error
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), strings.ReplaceAll(want, "FILE", path)) && !strings.Contains(err.Error(), strings.ReplaceAll(want, "FILE", "a.yaml")) {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
	for _, text := range []string{
		"cache: {stores: {}, caches: {}}", "cache: {caches: {product: {}}}", "cache: {caches: {user.profile: {ttl: 1m}}}", "{cache: {stores: {a: }, caches: {b: }}, session_cache: {store: a}}", "cache: {stores: {a: {}}, caches: {session: {store: a}}}",
		"{cache: {stores: {a: {}}, caches: {session: {store: a, ttl: 1m}}}, session_cache: {store: a}}",
		"cache: {stores: {a: {strategy: bigcache, redis: {whatever: it is}}}}", "session_cache: {store: default}",
	} {
		if err := newApp(fxcache.ConfigFile(file(t, "a.yaml", text))).Err(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	reserved := newApp(fxcache.Register(driver.Factory{Name: "stores", New: func(driver.Decoder) (driver.Strategy, error) { return noop.Strategy{}, nil }})).Err()
	if reserved == nil || !strings.Contains(reserved.Error(), `"stores", which is an option`) {
		t.Errorf("a strategy is called stores: %v", reserved)
	}
}

// What only Init or cache.New can tell about a cache has its path too.
func TestSessionsDecideWhatIsFresh(t *testing.T) {
	t.Parallel()
	app := newApp(fxtest.Config("cache: {caches: {session: {stale_for: 1h}, other: {stale_for: 1h}}}"))
	err := app.Start(t.Context())
	var invalid *config.Error
	if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Path != "cache.caches.session.stale_for" {
		t.Errorf("Start = %v", err)
	}
}

// The environment configures stores and caches, as everything else.
func TestStoresInTheEnvironment(t *testing.T) {
	t.Parallel()
	service, _, err := built(t, "{}", "FXCACHE_CACHE__STORES__SESSIONS__STRATEGY=noop", "FXCACHE_CACHE__STORES__SESSIONS__NAMESPACE=login",
		"FXCACHE_SESSION_CACHE__STORE=sessions", "FXCACHE_CACHE__CACHES__PRODUCT__STORE=sessions")
	if err != nil {
		t.Fatal(err)
	}
	if got := strategiesOf(service); got != "default:bigcache sessions:noop" || service.Stores()[1].Namespace != "login" {
		t.Errorf("%s, %+v", got, service.Stores()[1])
	}
	_, _, err = built(t, "{}", "FXCACHE_CACHE__STORES__SESSIONS__TIMEOUT=50")
	if err == nil || !strings.Contains(err.Error(), "cache.stores.sessions.timeout (environment FXCACHE_CACHE__STORES__SESSIONS__TIMEOUT): has no unit") {
		t.Errorf("%v", err)
	}
}

// logging returns the log of an application, once it has started and stopped.
func logging(t *testing.T, options ...fx.Option) string {
	t.Helper()
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	app := newApp(fx.Options(options...), fx.Supply(logger))
	start(t, app)
	stop(t, app)
	return log.String()
}

// At start there is one line for each store: what it is, where it is, and in which namespace,
// without secrets.
func TestStoresAreLogged(t *testing.T) {
	t.Parallel()
	const secret = "hunter2distinct"
	var source *config.Source
	log := logging(t, fx.Populate(&source), fxtest.Config(`
cache:
  namespace: shop
  bigcache: {max_size: 32MiB}
  strategy: bigcache
  stores:
    sessions: {strategy: redis, namespace: login, redis: {addresses: ["127.0.0.1:1", "127.0.0.1:2"], mode: cluster, username: `+secret+`, password: `+secret+`}}
    other: {strategy: redis, namespace: "login:`+secret+`;", redis: {url: "redis://`+secret+`:`+secret+`@127.0.0.1:3/7"}}
    none: {strategy: noop}
`))
	for _, want := range []string{
		"level=INFO msg=\"cache: a store is in use\" store=default strategy=bigcache namespace=shop location=\"in this process, 32MiB\"",
		"store=sessions strategy=redis namespace=login location=\"cluster 127.0.0.1:1,127.0.0.1:2\"",
		"store=other strategy=redis namespace=\"(not shown: it has other characters than those of names)\" location=\"standalone 127.0.0.1:3 db 7\"",
		"store=none strategy=noop namespace=shop",
	} {
		if strings.Count(log, want) != 1 {
			t.Errorf("%q is not there once, in\n%s", want, log)
		}
	}
	if n := strings.Count(log, "a store is in use"); n != 4 || strings.Contains(log, secret) {
		t.Errorf("%d lines, or a secret, in\n%s", n, log)
	}
	if printed := source.String(); strings.Count(printed, secret) != 1 || !strings.Contains(printed, "namespace: login:"+secret) {
		t.Errorf("it prints a secret, other than as a namespace:\n%s", printed)
	}
}

// A cache that is configured and that nothing has made by the end of OnStart is warned about once,
// with the nearest name. The session cache counts, under its prefix.
func TestUnusedCaches(t *testing.T) {
	t.Parallel()
	var service *cache.Service
	var health cache.Health
	log := logging(t, fxtest.Config("{cache: {caches: {prodct: {ttl: 1m}, price: {ttl: 1m}, login: {ttl: 1m}, late: {ttl: 1m}}}, session_cache: {prefix: login}}"),
		fx.Populate(&service), fx.Invoke(func(lc fx.Lifecycle, s *cache.Service) error {
			_, errProduct := cache.New(s, "product", cache.Policy[int]{})
			_, errPrice := cache.New(s, "price", cache.Policy[int]{})
			lc.Append(fx.StartHook(func() error { // after the module's
				_, err := cache.New(s, "late", cache.Policy[int]{})
				health = s.Health(t.Context())
				return err
			}))
			return errors.Join(errProduct, errPrice)
		}))
	const warning = "the configuration names a cache that the application has not made so far"
	if strings.Count(log, warning) != 2 || !strings.Contains(log, "cache=prodct key=cache.caches.prodct did_you_mean=product") || !strings.Contains(log, "cache=late") {
		t.Errorf("the log is\n%s", log)
	}
	if health.Status != cache.Ready || len(health.Reasons) != 1 || !strings.HasPrefix(health.Reasons[0], "caches.prodct: ") {
		t.Errorf("health is %+v", health)
	}
	if log := logging(t, fxtest.Config("cache: {caches: {session: {ttl: 1m}}}")); strings.Contains(log, warning) {
		t.Errorf("the log is\n%s", log)
	}
}

// What cache.caches says wins over the Policy in code, and a cache that it does not name behaves as
// its code says.
func TestCachesInTheConfiguration(t *testing.T) {
	t.Parallel()
	app := fxtest.New(t, fxtest.Config(`
cache:
  caches:
    price: {ttl: 1m, jitter: 0, negative_ttl: 10s}
    stock: {enabled: false}
    login: {codec: cbor}
`))
	policy := cache.Policy[int]{TTL: time.Hour, Jitter: 1}
	ttl := func(name string) time.Duration {
		t.Helper()
		app.Strategy.Reset()
		if err := caches(t, app.Cache, name, policy).Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		return app.Strategy.Operations()[0].TTL
	}
	if got := ttl("price"); got != time.Minute {
		t.Errorf("the TTL is %v, want that of the configuration", got)
	}
	policy.Jitter = 0
	if got := ttl("product"); got != time.Hour {
		t.Errorf("the TTL is %v, want that of the code", got)
	}
	nothing := func(context.Context) (int, error) { return 0, cache.ErrNotFound }
	prices := caches(t, app.Cache, "price", cache.Policy[int]{TTL: time.Hour, Jitter: 1})
	for range 2 {
		_, _ = prices.GetOrLoad(t.Context(), "none", nothing)
	}
	if n := app.Cache.Stats().NegativeHits; n != 1 {
		t.Errorf("%d negative hits, want 1", n)
	}
	stock := caches(t, app.Cache, "stock", cache.Policy[int]{})
	loads := 0
	for range 3 {
		_, _ = stock.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { loads++; return loads, nil })
	}
	app.Strategy.Reset()
	if err := stock.Delete(t.Context(), "k"); err != nil || loads != 3 || app.Strategy.Count(fxtest.OpDelete) != 1 {
		t.Errorf("%v; %d loads, want 3; %v", err, loads, app.Strategy.Operations())
	}
	type pair struct{ A, B any }
	login := caches(t, app.Cache, "login", cache.Policy[pair]{})
	if err := login.Set(t.Context(), "k", pair{[]byte("x"), int64(1)}); err != nil { // which JSON refuses
		t.Errorf("the codec is not that of the configuration: %v", err)
	}
	if err := caches(t, app.Cache, "signup", cache.Policy[pair]{}).Set(t.Context(), "k", pair{[]byte("x"), int64(1)}); !errors.Is(err, cache.ErrEncoding) {
		t.Errorf("JSON took it: %v", fmt.Sprint(err))
	}
}
