package fxcache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/strategies/noop"
)

// What concerns the Service and not the storage applies at once. The strategy is neither made again
// nor initialised again.
func TestInPlace(t *testing.T) {
	t.Parallel()
	l := startLive(t, number(1)+"  timeout: 5s\n")
	l.edit(t, number(1)+"  timeout: 7s\n  lock_wait: 1s\n  breaker_failures: 3\n  max_concurrent_loads: 5\n  max_value_bytes: 2KiB\n  handover: 1m\n")
	options := l.service.Options()
	if options.Timeout != 7*time.Second || options.LockWait != time.Second || options.BreakerFailures != 3 || options.MaxConcurrentLoads != 5 ||
		options.MaxValueBytes != 2<<10 || options.Handover != time.Minute {
		t.Errorf("%+v", options)
	}
	if err := l.service.Set(t.Context(), "k", strings.Repeat("x", 3<<10), cache.SetOptions{}); !errors.Is(err, cache.ErrValueTooLarge) {
		t.Errorf("a value that is too large now: %v", err)
	}
	if seen := l.seen(); !slices.Equal(seen, []int{1}) || l.inits != 1 {
		t.Errorf("made with %v, %d times initialised", seen, l.inits)
	}
}

// The word of the operator about caches, and the ages of sessions, apply to what is cached already.
func TestCachesAndSessionsInPlace(t *testing.T) {
	t.Parallel()
	made := 0
	l := startLive(t, embedded(handedOver), fxcache.Wrap(func(s driver.Strategy) driver.Strategy { made++; return s }))
	products := caches(t, l.service, "product", cache.Policy[int]{TTL: time.Hour})
	loads := 0
	load := func() {
		t.Helper()
		if _, err := products.GetOrLoad(t.Context(), "1", func(context.Context) (int, error) { loads++; return loads, nil }); err != nil {
			t.Error(err)
		}
	}
	load()
	load()
	logIn(t, l.sessions, "token")
	if loads != 1 || !loggedIn(t, l.sessions, "token") {
		t.Fatalf("%d loads", loads)
	}
	l.edit(t, "cache: {strategy: bigcache, timeout: 5s, caches: {product: {enabled: false}}}\nsession_cache: {stale_after: 1ms}\n")
	<-time.After(2 * time.Millisecond)
	load()
	load()
	if loads != 3 || loggedIn(t, l.sessions, "token") {
		t.Errorf("%d loads by a cache that is switched off, or a session that is too old", loads)
	}
	l.edit(t, "cache: {strategy: bigcache, timeout: 5s, caches: {product: {ttl: 1ms}}}\n")
	if err := products.Delete(t.Context(), "1"); err != nil {
		t.Error(err)
	}
	load()
	<-time.After(2 * time.Millisecond)
	load()
	logIn(t, l.sessions, "token")
	if loads != 5 || !loggedIn(t, l.sessions, "token") {
		t.Errorf("%d loads by a cache with a short TTL, or no session", loads)
	}
	if made != 1 {
		t.Errorf("made %d times", made)
	}
}

// What cannot change is refused with the path, and nothing of the rest is put into force. Health
// says that the file is not what is in use.
func TestNeedsARestart(t *testing.T) {
	t.Parallel()
	const before = `
cache: {strategy: bigcache, timeout: 5s, stores: {other: {strategy: bigcache}}, caches: {product: {store: other}, price: {codec: cbor}}}
session_cache: {prefix: session}
`
	l := startLive(t, before)
	caches(t, l.service, "product", cache.Policy[int]{})
	caches(t, l.service, "price", cache.Policy[int]{})
	for name, test := range map[string]struct{ old, next, path string }{
		"prefix":             {"prefix: session", "prefix: login", "session_cache.prefix"},
		"session strategy":   {"prefix: session", "strategy: noop", "session_cache.strategy"},
		"sessions elsewhere": {"prefix: session", "store: other", "cache.caches.session.store"},
		"a store more":       {"stores: {", "stores: {third: {}, ", "cache.stores.third"},
		"a store less":       {"stores: {other: {strategy: bigcache}}, caches: {product: {store: other}, ", "caches: {", "cache.stores.other"},
		"another store":      {"{store: other}", "{}", "cache.caches.product.store"},
		"codec":              {"timeout: 5s", "timeout: 5s, codec: msgpack", "cache.codec"},
		"codec of a cache":   {"codec: cbor", "codec: json", "cache.caches.price.codec"},
	} {
		text := strings.Replace(before, test.old, test.next, 1)
		l.write(t, strings.Replace(text, "timeout: 5s", "timeout: 6s", 1))
		err := l.reloader.Reload(t.Context())
		var invalid *config.Error
		if !errors.As(err, &invalid) || !slices.ContainsFunc(invalid.Problems, func(p config.Problem) bool {
			return p.Path == test.path && strings.Contains(p.Message, "restart")
		}) {
			t.Errorf("%s: %v", name, err)
		}
		if timeout := l.service.Options().Timeout; timeout != 5*time.Second {
			t.Errorf("%s: the timeout is %v", name, timeout)
		}
		if health := l.service.Health(t.Context()); len(health.Reasons) != 1 || !strings.Contains(health.Reasons[0], "configuration") {
			t.Errorf("%s: health is %+v", name, health)
		}
		if err := newApp(l.register(), fxcache.ConfigFile(l.path)).Err(); err != nil {
			t.Errorf("%s: a restart does not take it: %v", name, err)
		}
	}
	generation := l.reloader.Status().Generation
	l.replace(t, strings.Replace(before, "timeout: 5s", "timeout: 6s", 1))
	eventually(t, "the mended configuration", func() bool { return l.reloader.Status().Generation > generation })
	if health := l.service.Health(t.Context()); len(health.Reasons) > 0 {
		t.Errorf("mended: health is %+v", health)
	}
}

// difficult is a third party's strategy whose section says what becomes of its Init.
type difficult struct {
	noop.Strategy
	Is    string
	trace *trace
}

type trace struct {
	mu      sync.Mutex
	done    []string
	entered chan struct{}
}

func (d difficult) Init(ctx context.Context, _ driver.Injector) error {
	d.trace.add("init " + d.Is)
	switch d.Is {
	case "failing":
		return errors.New("no such host")
	case "wrong":
		return &driver.OptionError{Name: "is", Reason: "is wrong"}
	case "panicking":
		panic("hunter2")
	case "hanging":
		close(d.trace.entered)
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (d difficult) Destroy(context.Context) error {
	d.trace.add("destroy " + d.Is)
	return nil
}

func (t *trace) add(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = append(t.done, what)
}

func (t *trace) seen() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.done)
}

func (t *trace) register() fx.Option {
	return fxcache.Register(driver.Factory{Name: "difficult", New: func(cfg driver.Decoder) (driver.Strategy, error) {
		var options struct {
			Is string `koanf:"is,public"`
		}
		err := cfg.Decode(&options)
		return difficult{Is: options.Is, trace: t}, err
	}})
}

func being(what string) string {
	return fmt.Sprintf("cache: {strategy: difficult, handover: 1ms, difficult: {is: %s}}\n", what)
}

// If the Init of a new strategy fails or panics, it is destroyed, and the old one goes on. The
// error is the one that the next start would have.
func TestInitFails(t *testing.T) {
	t.Parallel()
	for what, text := range map[string]string{"failing": "no such host", "wrong": "cache.difficult.is", "panicking": "panicked"} {
		tr := &trace{}
		l := startLive(t, being("good"), tr.register())
		l.write(t, being(what))
		l.fails(t, text)
		next := newApp((&trace{}).register(), fxcache.ConfigFile(l.path))
		err := next.Start(t.Context())
		if err == nil || sameCause(err) != sameCause(l.reloader.Status().LastError) {
			t.Errorf("%s: %v\nand the next start: %v", what, l.reloader.Status().LastError, err)
		}
		var invalid *config.Error
		if errors.As(l.reloader.Status().LastError, &invalid) != (what == "wrong") {
			t.Errorf("%s: a %T", what, l.reloader.Status().LastError)
		}
		if strings.Contains(l.log.String(), "hunter2") {
			t.Error("the log has what the strategy panicked with")
		}
		l.edit(t, being("mended"))
		eventually(t, "the end of the old one", func() bool { return slices.Contains(tr.seen(), "destroy good") })
		if want := []string{"init good", "init " + what, "destroy " + what, "init mended", "destroy good"}; !slices.Equal(tr.seen(), want) {
			t.Errorf("%s: %q, want %q", what, tr.seen(), want)
		}
	}
}

// sameCause is the text of an error without what called a function that panicked.
func sameCause(err error) string {
	text, _, _ := strings.Cut(err.Error(), ", called by")
	return text
}

// While the Init of a new strategy hangs, the old one goes on, and the application can stop.
func TestInitHangs(t *testing.T) {
	t.Parallel()
	tr := &trace{entered: make(chan struct{})}
	path := yamlPath(t)
	put(t, path, being("good"))
	var service *cache.Service
	var reloader *fxcache.Reloader
	app := newApp(tr.register(), fxcache.ConfigFile(path), fx.Populate(&service, &reloader))
	start(t, app)
	put(t, path, being("hanging"))
	result := make(chan error, 1)
	go func() { result <- reloader.Reload(context.Background()) }()
	<-tr.entered
	if err := service.Set(t.Context(), "k", 1, cache.SetOptions{}); err != nil {
		t.Error(err)
	}
	stop(t, app)
	if err := <-result; !errors.Is(err, cache.ErrClosed) {
		t.Errorf("Reload = %v", err)
	}
	if want := []string{"init good", "init hanging", "destroy hanging", "destroy good"}; !slices.Equal(tr.seen(), want) {
		t.Errorf("%q, want %q", tr.seen(), want)
	}
}

// The file of a secret counts also after a reload that was about something else.
func TestSecretAfterAnotherReload(t *testing.T) {
	t.Parallel()
	secret := file(t, "password", "one")
	text := number(1) + "    password_file: " + secret + "\n"
	l := startLive(t, text)
	for _, timeout := range []string{"3s", "4s"} {
		l.edit(t, text+"  timeout: "+timeout+"\n")
	}
	put(t, secret, "two")
	eventually(t, "the next password, in use", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.passwords[len(l.passwords)-1] == "two" && l.inits == 2
	})
}
