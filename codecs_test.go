package fxcache_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/fxtest"
	"github.com/fxcache/fxcache/sessioncache"
)

// named is JSON under another name.
type named struct {
	cache.JSON
	name string
}

func (n named) Name() string { return n.name }

// nameless has a method Name that panics.
type nameless struct{ cache.JSON }

func (nameless) Name() string { panic("hunter2distinct") }

// A registered codec is selected by its name, with compression or without.
func TestRegisterCodec(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"": "json", "mine": "mine", "mine+zstd": "mine+zstd", "other": "other", "cbor+zstd": "cbor+zstd"} {
		options := []fx.Option{fxcache.RegisterCodec(named{name: "mine"}), fxcache.RegisterCodec(named{name: "other"})}
		if name != "" {
			options = append(options, fxcache.Override(map[string]any{"cache.codec": name}))
		}
		var service *cache.Service
		app := newApp(append(options, fx.Populate(&service))...)
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := service.Options().Codec.Name(); got != want {
			t.Errorf("codec: %s is %s", name, got)
		}
		value, got := strings.Repeat("again ", 1000), ""
		if err := service.Set(t.Context(), "k", value, cache.SetOptions{}); err != nil {
			t.Error(err)
		}
		if found, err := service.Get(t.Context(), "k", &got); !found || err != nil || got != value {
			t.Errorf("codec: %s: %v, %v", name, found, err)
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestCodecErrors(t *testing.T) {
	t.Parallel()
	register := func(name string) fx.Option { return fxcache.RegisterCodec(named{name: name}) }
	selected := func(name string) fx.Option { return fxcache.Override(map[string]any{"cache.codec": name}) }
	for want, options := range map[string][]fx.Option{
		"fxcache.RegisterCodec: the codec is nil":                                             {fxcache.RegisterCodec(nil)},
		"RegisterCodec: the codec is nil":                                                     {fxcache.RegisterCodec((*plain)(nil))},
		"RegisterCodec: the method Name panicked with a string":                               {fxcache.RegisterCodec(nameless{})},
		`a codec is registered under the name ""`:                                             {register("")},
		`a codec is registered under the name "My Codec": use`:                                {register("My Codec")},
		`a codec is registered under the name "mine+zstd": use`:                               {register("mine+zstd")},
		`two codecs are registered under the name "json"`:                                     {register("json")},
		`two codecs are registered under the name "mine"`:                                     {register("mine"), register("mine")},
		`["cbor" "cbor+zstd" "json" "json+zstd" "mine" "mine+zstd" "msgpack" "msgpack+zstd"]`: {register("mine"), selected("xml")},
		`did you mean "mine+zstd"?`:                                                           {register("mine"), selected("mine+zst")},
		`did you mean "json"?`:                                                                {selected("JSON")},
		`did you mean "msgpack+zstd"?`:                                                        {selected("msgpack_zstd")},
		"cache.codec (code): there is":                                                        {register("mine"), selected("mine+zstd+zstd")},
		"the application provides a cache.Codec as well": {register("mine"), selected("mine"),
			fx.Provide(func() cache.Codec { return cache.JSON{} })},
	} {
		err := newApp(options...).Err()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A codec in fx is used as before, registered ones beside it or not.
func TestRegisteredBesideACodecOfTheGraph(t *testing.T) {
	t.Parallel()
	var service *cache.Service
	app := newApp(fxcache.RegisterCodec(named{name: "mine"}), fx.Provide(func() cache.Codec { return named{name: "graph"} }), fx.Populate(&service))
	if err := app.Err(); err != nil {
		t.Fatal(err)
	}
	if got := service.Options().Codec.Name(); got != "graph" {
		t.Errorf("%s is used", got)
	}
}

// rows is a Strategy whose entries a test can look at.
type rows struct {
	mu     sync.Mutex
	values map[string][]byte
}

func (r *rows) Get(_ context.Context, key string) ([]byte, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	value, found := r.values[key]
	return bytes.Clone(value), found, nil
}

func (r *rows) Set(_ context.Context, key string, value []byte, _ driver.SetOptions) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.values[key] = bytes.Clone(value)
	return nil
}

func (r *rows) Delete(_ context.Context, keys ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		delete(r.values, key)
	}
	return nil
}

func (*rows) InvalidateTags(context.Context, ...string) error { return nil }

func (*rows) Cancellable() {}

func (r *rows) contain(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, value := range r.values {
		if bytes.Contains(value, []byte(text)) {
			return true
		}
	}
	return false
}

// Compression is off for sessions, whatever the codec is: they encode themselves.
func TestSessionsAreNotCompressed(t *testing.T) {
	t.Parallel()
	var service *cache.Service
	var sessions sessioncache.Strategy
	storage := &rows{values: map[string][]byte{}}
	app := newApp(fxcache.Override(map[string]any{"cache.codec": "json+zstd"}), fx.Populate(&service, &sessions),
		fxcache.Wrap(func(driver.Strategy) driver.Strategy { return storage }))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("the same again, ", 1000)
	session := &sessioncache.CachedSession{ID: "1", Token: cache.NewSecret("token"), Expires: time.Now().Add(time.Hour),
		User: &sessioncache.User{ID: "2", Identifier: long}}
	if err := sessions.Set(t.Context(), session); err != nil {
		t.Error(err)
	}
	if !storage.contain(long) {
		t.Error("the session is not stored as it is")
	}
	if got, found, err := sessions.Get(t.Context(), "token"); err != nil || !found || got.User.Identifier != long {
		t.Errorf("%v, %v", found, err)
	}
	value := strings.ToUpper(long)
	if err := service.Set(t.Context(), "k", value, cache.SetOptions{}); err != nil {
		t.Error(err)
	}
	if storage.contain(value) {
		t.Error("a value of a cache is stored as it is")
	}
	if err := app.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// One cache has a codec of its own; the others keep that of the section `cache`.
func TestCodecOfOneCache(t *testing.T) {
	t.Parallel()
	type product struct{ Name string }
	var strategy driver.Strategy
	app := fxtest.New(t, fxtest.Config("cache: {codec: cbor, caches: {products: {codec: json+zstd}}}"),
		fxcache.Wrap(func(s driver.Strategy) driver.Strategy { strategy = s; return s }))
	encoded := func(name string) string {
		t.Helper()
		c, err := cache.New(app.Cache, name, cache.Policy[product]{})
		if err != nil {
			t.Fatal(err)
		}
		want := product{strings.Repeat("kettle ", 1000)}
		if err := c.Set(t.Context(), "k", want); err != nil {
			t.Fatal(err)
		}
		if got, found, err := c.Get(t.Context(), "k"); got != want || !found || err != nil {
			t.Errorf("%s: %v, %v", name, found, err)
		}
		value, found, err := strategy.Get(t.Context(), "app:"+name+":k")
		if !found || err != nil {
			t.Fatal(found, err)
		}
		return string(value)
	}
	if value := encoded("products"); len(value) > 1000 {
		t.Errorf("products have %d bytes", len(value))
	}
	if value := encoded("others"); len(value) < 7000 || strings.Contains(value, `"Name"`) {
		t.Errorf("others have %d bytes", len(value))
	}
}
