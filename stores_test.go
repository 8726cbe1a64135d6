package fxcache_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.yaml.in/yaml/v3"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/fxtest"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/strategies/noop"
)

// apart is sessions and products in two stores, by two lines.
const apart = `
cache: {stores: {sessions: {strategy: bigcache}}}
session_cache: {store: sessions}
`

func logIn(t *testing.T, sessions sessioncache.Sessions, token string) {
	t.Helper()
	session := func(context.Context) (*sessioncache.CachedSession, error) {
		return &sessioncache.CachedSession{ID: "1", Expires: time.Now().Add(time.Hour), User: &sessioncache.User{ID: "bob"}}, nil
	}
	if _, err := sessions.Update(t.Context(), token, session); err != nil {
		t.Fatal(err)
	}
}

func loggedIn(t *testing.T, sessions sessioncache.Sessions, token string) bool {
	t.Helper()
	_, found, err := sessions.Get(t.Context(), token)
	if err != nil {
		t.Error(err)
	}
	return found
}

func caches[T any](t *testing.T, service *cache.Service, name string, policy cache.Policy[T]) *cache.Cache[T] {
	t.Helper()
	c, err := cache.New(service, name, policy)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// inStore counts what a store has been asked to do with keys, and with tags.
func inStore(recorder *fxtest.Recorder) (keys, tags int) {
	for _, o := range recorder.Operations() {
		if o.Name == fxtest.OpInvalidate || o.Name == fxtest.OpClear {
			tags++
		} else {
			keys++
		}
	}
	return keys, tags
}

// Two lines of configuration place the sessions in a store of their own. The sessions are nowhere
// else, and nothing else is there. What is revoked through the Service is revoked in every store.
func TestSessionsInAStoreOfTheirOwn(t *testing.T) {
	t.Parallel()
	app := fxtest.New(t, fxtest.Config(apart))
	sessions, others := app.Store("sessions"), app.Store("default")
	if others != app.Strategy {
		t.Error("App.Strategy is not that of the default store")
	}
	products := caches(t, app.Cache, "product", cache.Policy[int]{Tags: []string{"all"}})
	for name, test := range map[string]struct {
		do         func()
		here, gone *fxtest.Recorder
	}{
		"a session":           {func() { logIn(t, app.Sessions, "token"); loggedIn(t, app.Sessions, "token") }, sessions, others},
		"a product":           {func() { _ = products.Set(t.Context(), "1", 1); _, _, _ = products.Get(t.Context(), "1") }, others, sessions},
		"the Service's own":   {func() { _ = app.Cache.Set(t.Context(), "k", 1, cache.SetOptions{}) }, others, sessions},
		"deleting of its own": {func() { _ = app.Cache.Delete(t.Context(), "k") }, others, sessions},
	} {
		sessions.Reset()
		others.Reset()
		test.do()
		if keys, _ := inStore(test.here); keys == 0 {
			t.Errorf("%s is not where it should be", name)
		}
		if keys, tags := inStore(test.gone); keys+tags > 0 {
			t.Errorf("%s is in the other store: %v", name, test.gone.Operations())
		}
	}
	for name, revoke := range map[string]func() error{
		"InvalidateTags":          func() error { return app.Cache.InvalidateTags(t.Context(), "all", "user:bob") },
		"Cache.InvalidateTags":    func() error { return products.InvalidateTags(t.Context(), "all", "user:bob") },
		"Clear":                   func() error { return app.Cache.Clear(t.Context()) },
		"SessionCacheStrategy":    func() error { return app.Sessions.Clear(t.Context()) },
		"a tag of both, by hand":  func() error { return app.Cache.InvalidateTags(t.Context(), "all") },
		"a tag that nothing has":  func() error { return app.Cache.InvalidateTags(t.Context(), "nothing") },
		"no tags are no question": func() error { return app.Cache.InvalidateTags(t.Context()) },
	} {
		logIn(t, app.Sessions, "token")
		if err := products.Set(t.Context(), "1", 1); err != nil {
			t.Fatal(err)
		}
		sessions.Reset()
		others.Reset()
		if err := revoke(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, here := inStore(others)
		_, there := inStore(sessions)
		if here != 1 || there != 1 {
			t.Errorf("%s: %d calls here and %d there, want one each", name, here, there)
		}
		_, product, _ := products.Get(t.Context(), "1")
		if strings.HasPrefix(name, "Clear") && (product || loggedIn(t, app.Sessions, "token")) {
			t.Errorf("%s: product %t, session %t", name, product, loggedIn(t, app.Sessions, "token"))
		}
	}
}

// cache.caches places caches too, and its word is that of the session cache.
func TestCachesArePlaced(t *testing.T) {
	t.Parallel()
	app := fxtest.New(t, fxtest.Config(`
cache:
  stores: {small: {strategy: bigcache}, large: {strategy: bigcache}}
  caches: {product: {store: large}, session: {store: small}, price: {store: default}, stock: {ttl: 1m}}
`))
	for name, store := range map[string]string{"product": "large", "price": "default", "stock": "default", "anything": "default"} {
		c := caches(t, app.Cache, name, cache.Policy[int]{})
		for _, other := range []string{"small", "large", "default"} {
			app.Store(other).Reset()
		}
		if err := c.Set(t.Context(), "k", 1); err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{"small", "large", "default"} {
			if n := app.Store(other).Count(fxtest.OpSet); (n == 1) != (other == store) {
				t.Errorf("%s: %d calls of the store %s", name, n, other)
			}
		}
	}
	app.Store("small").Reset()
	logIn(t, app.Sessions, "token")
	if keys, _ := inStore(app.Store("small")); keys == 0 {
		t.Error("cache.caches.session.store does not place the sessions")
	}
}

// probe is a third party's strategy that tells what it is given.
type probe struct {
	noop.Strategy
	*journal
	weight int
	init   func() error
}

func (s *probe) Init(_ context.Context, in driver.Injector) error {
	limits, err := driver.Resolve[driver.Limits](in)
	if err != nil {
		return err
	}
	s.add(fmt.Sprintf("init %d: %s %v %v", s.weight, limits.KeyPrefix, limits.MaxTTL, limits.Timeout))
	if s.init != nil {
		return s.init()
	}
	return nil
}

func (s *probe) Destroy(context.Context) error {
	s.add(fmt.Sprintf("destroy %d", s.weight))
	return nil
}

// probes registers the strategy "probe". The Init of the one with a weight is failing.
func probes(j *journal, weight int, failing func() error) fx.Option {
	return fxcache.Register(driver.Factory{Name: "probe", New: func(cfg driver.Decoder) (driver.Strategy, error) {
		options := struct {
			Weight int `koanf:"weight"`
		}{}
		err := cfg.Decode(&options)
		p := &probe{journal: j, weight: options.Weight}
		if options.Weight == weight {
			p.init = failing
		}
		return p, err
	}})
}

const threeProbes = `
cache:
  strategy: probe
  probe: {weight: 1}
  timeout: 1s
  stores:
    b: {strategy: probe, namespace: second, max_ttl: 2h, probe: {weight: 2}}
    c: {strategy: probe, timeout: 3s, probe: {weight: 3}}
`

// Each strategy has the limits of its own store. They start in order, and stop in reverse order,
// again and again.
func TestStoresStartAndStop(t *testing.T) {
	t.Parallel()
	j := &journal{}
	app := newApp(probes(j, 0, nil), fxtest.Config(threeProbes))
	once := []string{"init 1: app: 720h0m0s 1s", "init 2: second: 2h0m0s 1s", "init 3: app: 720h0m0s 3s", "destroy 3", "destroy 2", "destroy 1"}
	for range 2 {
		start(t, app)
		stop(t, app)
	}
	j.is(t, slices.Concat(once, once)...)
}

// If one store does not start, those that did are released, and the error names the section.
func TestFailedInitOfAStore(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]func() error{
		"error":  func() error { return errors.New("boom") },
		"option": func() error { return &cache.OptionError{Name: "weight", Reason: "boom"} },
		"panic":  func() error { panic("boom") },
	} {
		j := &journal{}
		app := newApp(probes(j, 2, failure), fxtest.Config(threeProbes))
		err := app.Start(t.Context())
		var failed *cache.Error
		var invalid *config.Error
		switch {
		case name == "option" && (!errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Path != "cache.stores.b.probe.weight"):
			t.Errorf("%s: Start = %v", name, err)
		case name != "option" && (!errors.As(err, &failed) || failed.Op != "start" || failed.Store != "b" || failed.Strategy != "probe"):
			t.Errorf("%s: Start = %v", name, err)
		}
		if name == "error" && !strings.Contains(err.Error(), "(b: probe)") {
			t.Errorf("the error does not name the store: %v", err)
		}
		// Destroy may come before Init
		j.is(t, "init 1: app: 720h0m0s 1s", "init 2: second: 2h0m0s 1s", "destroy 3", "destroy 2", "destroy 1")
	}
}

// A third party's strategy is as good for a store as a built-in one, and Wrap and WrapStores see
// every store.
func TestWrappersSeeEveryStore(t *testing.T) {
	t.Parallel()
	var wrapped, named []string
	app := newApp(probes(&journal{}, 0, nil), fxtest.Config(threeProbes),
		fxcache.Wrap(func(s driver.Strategy) driver.Strategy {
			wrapped = append(wrapped, fmt.Sprint(s.(*probe).weight))
			return s
		}),
		fxcache.WrapStores(func(store string, s driver.Strategy) driver.Strategy {
			named = append(named, fmt.Sprint(store, s.(*probe).weight))
			return s
		}))
	if err := app.Err(); err != nil || strings.Join(wrapped, " ") != "1 2 3" || strings.Join(named, " ") != "default1 b2 c3" {
		t.Errorf("%v; %q, %q", err, wrapped, named)
	}
	for option, nothing := range map[string]fx.Option{
		"WrapStores: the function is nil":               fxcache.WrapStores(nil),
		"WrapStores: the function returned no strategy": fxcache.WrapStores(func(string, driver.Strategy) driver.Strategy { return nil }),
	} {
		if err := newApp(nothing).Err(); err == nil || !strings.Contains(err.Error(), option) {
			t.Errorf("%v, want %q", err, option)
		}
	}
}

// What a store lacks is as in `cache`: every option, whether it comes from a file, from the
// environment or from code. default_ttl is capped by the max_ttl of the store itself.
func TestStoresInherit(t *testing.T) {
	t.Parallel()
	all := map[string]string{
		"namespace": "shop", "default_ttl": "3h", "max_ttl": "5h", "max_key_bytes": "2KiB", "max_value_bytes": "3KiB", "max_tags": "7",
		"timeout": "70ms", "lock_wait": "0s", "max_concurrent_loads": "8", "max_pending_revocations": "9", "breaker_failures": "11", "breaker_pause": "2s",
	}
	text := "cache:\n"
	for _, key := range slices.Sorted(maps.Keys(all)) {
		text += "  " + key + ": " + all[key] + "\n"
	}
	text += "  stores: {a: {}, b: {max_ttl: 1h, timeout: 90ms}, c: {max_ttl: 9h}, d: {default_ttl: 2h, lock_wait: 1s, strategy: noop}, e: {strategy: noop}}\n"
	service, source, err := built(t, text, "FXCACHE_CACHE__STORES__E__TIMEOUT=80ms", "FXCACHE_CACHE__STORES__E__DEFAULT_TTL=4h")
	if err != nil {
		t.Fatal(err)
	}
	var effective struct {
		Cache struct {
			Stores map[string]map[string]any `yaml:"stores"`
		} `yaml:"cache"`
	}
	unmarshal(t, source.String(), &effective)
	for store, differs := range map[string]map[string]string{
		"a": {}, "b": {"max_ttl": "1h", "default_ttl": "1h", "timeout": "90ms"}, "c": {"max_ttl": "9h"},
		"d": {"default_ttl": "2h", "lock_wait": "1s"}, "e": {"timeout": "80ms", "default_ttl": "4h"},
	} {
		want := maps.Clone(all)
		maps.Copy(want, differs)
		for key, value := range want {
			got := strings.NewReplacer("h0m0s", "h").Replace(fmt.Sprint(effective.Cache.Stores[store][key]))
			if got != value {
				t.Errorf("cache.stores.%s.%s is %s, want %s", store, key, got, value)
			}
		}
	}
	if strategies := strategiesOf(service); strategies != "default:bigcache a:bigcache b:bigcache c:bigcache d:noop e:noop" {
		t.Error(strategies)
	}
}

func strategiesOf(service *cache.Service) string {
	var all []string
	for _, store := range service.Stores() {
		all = append(all, store.Name+":"+store.Strategy)
	}
	return strings.Join(all, " ")
}

// Options that code changes are those of every store that is not configured otherwise.
func TestStoresInheritFromCode(t *testing.T) {
	t.Parallel()
	j := &journal{}
	app := newApp(probes(j, 0, nil), fxtest.Config(threeProbes), fxcache.CacheOptions(func(o *cache.Options) {
		o.Namespace, o.Timeout = "code", 9*time.Second
	}))
	start(t, app)
	stop(t, app)
	j.is(t, "init 1: code: 720h0m0s 9s", "init 2: second: 2h0m0s 9s", "init 3: code: 720h0m0s 3s", "destroy 3", "destroy 2", "destroy 1")
}

func unmarshal(t *testing.T, text string, target any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), target); err != nil {
		t.Fatal(err)
	}
}
