package cache_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
)

func TestNewRefusesUnusablePolicies(t *testing.T) {
	t.Parallel()
	service := newService(t, new(table), cache.Options{MaxKeyBytes: 64, MaxTags: 2})
	long := strings.Repeat("x", 65)
	for _, test := range []struct {
		name   string
		policy cache.Policy[int]
		option string
	}{
		{"", cache.Policy[int]{}, "name"},
		{strings.Repeat("x", 33), cache.Policy[int]{}, "name"},
		{"c", cache.Policy[int]{TTL: -1}, "TTL"},
		{"c", cache.Policy[int]{Tags: []string{"a", "b", "c"}}, "Tags"},
		{"c", cache.Policy[int]{Tags: []string{""}}, "Tags"},
		{"c", cache.Policy[int]{Tags: []string{"a", long}}, "Tags"},
	} {
		c, err := cache.New(service, test.name, test.policy)
		var option *cache.OptionError
		if c != nil || !errors.As(err, &option) || option.Name != test.option {
			t.Errorf("New(%q, %+v) = %v", test.name, test.policy.Tags, err)
		}
		if name, reason := option.Option(); name != option.Name || reason == "" || option.Error() != name+": "+reason {
			t.Errorf("Option() = %q, %q", name, reason)
		}
	}
	_, err := cache.New(service, "", cache.Policy[int]{TTL: -1, Tags: []string{""}})
	for _, name := range []string{"name", "TTL", "Tags"} {
		if err == nil || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s is missing in %v", name, err)
		}
	}
	if c, err := cache.New[int](nil, "c", cache.Policy[int]{}); c != nil || err == nil {
		t.Errorf("New without a service = %v, %v", c, err)
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		service := start(t, kind.make(t), cache.Options{})
		ctx := t.Context()
		a := newCache(t, service, "a", cache.Policy[string]{Tags: []string{"all"}, TagsOf: func(v string) []string { return []string{"value:" + v} }})
		b := newCache(t, service, "b", cache.Policy[string]{})
		expect := func(c *cache.Cache[string], key, want string) {
			t.Helper()
			if got, found, err := c.Get(ctx, key); got != want || found != (want != "") || err != nil {
				t.Errorf("%s: Get(%s) = %q, %v, %v; want %q", kind.name, key, got, found, err, want)
			}
		}
		fill := func() {
			t.Helper()
			for _, key := range []string{"1", "2", "3"} {
				if err := errors.Join(a.Set(ctx, key, "a"+key), b.Set(ctx, key, "b"+key)); err != nil {
					t.Fatal(err)
				}
			}
		}
		fill()
		expect(a, "1", "a1")
		expect(b, "1", "b1") // the same key of another cache
		expect(a, "4", "")
		if err := a.Delete(ctx, "1", "2", "missing"); err != nil {
			t.Fatal(err)
		}
		expect(a, "1", "")
		expect(a, "2", "")
		expect(a, "3", "a3")
		expect(b, "1", "b1")
		if err := errors.Join(a.Delete(ctx), a.InvalidateTags(ctx)); err != nil {
			t.Errorf("%s: nothing to do: %v", kind.name, err)
		}
		expect(a, "3", "a3")
		fill()
		if err := b.InvalidateTags(ctx, "value:a2"); err != nil { // tags are shared by all caches
			t.Fatal(err)
		}
		expect(a, "1", "a1")
		expect(a, "2", "")
		if err := service.InvalidateTags(ctx, "all"); err != nil {
			t.Fatal(err)
		}
		expect(a, "1", "")
		expect(b, "2", "b2")
		if got, err := a.GetOrLoad(ctx, "1", value("loaded")); got != "loaded" || err != nil {
			t.Errorf("%s: GetOrLoad = %q, %v", kind.name, got, err)
		}
		expect(a, "1", "loaded")
		if err := b.InvalidateTags(ctx, "value:loaded"); err != nil {
			t.Fatal(err)
		}
		expect(a, "1", "")
	}
}

// V19: with HashKeys the strategy sees digests only, and keys may have any length.
func TestHashKeys(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, newBigcache(t), cache.Options{})
	c := newCache(t, service, "c", cache.Policy[string]{HashKeys: true})
	ctx := t.Context()
	for _, key := range []string{"TOKENdistinct", strings.Repeat("TOKENdistinct", 1000)} {
		if err := c.Set(ctx, key, "v"); err != nil {
			t.Fatal(err)
		}
		if got, found, err := c.Get(ctx, key); got != "v" || !found || err != nil {
			t.Errorf("Get = %q, %v, %v", got, found, err)
		}
		if _, err := c.Update(ctx, key, value("w")); err != nil {
			t.Error(err)
		}
		if err := c.Delete(ctx, key); err != nil {
			t.Error(err)
		}
		if _, err := c.GetOrLoad(ctx, key, value("v")); err != nil {
			t.Error(err)
		}
		digest := sha256.Sum256([]byte(key))
		for _, o := range recorder.Operations() {
			for _, physical := range o.Keys {
				if physical != "app:c:"+string(digest[:]) {
					t.Errorf("%s of %q", o.Name, physical)
				}
			}
		}
		recorder.Reset()
	}
	if err := c.Set(ctx, "", "v"); !errors.Is(err, cache.ErrInvalidKey) {
		t.Errorf("the empty key: %v", err)
	}
}

// If TTLOf is zero or less, the value is not stored, and the entry that it would have replaced is
// deleted.
func TestTTLOfForbidsStoring(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:2] {
		service := start(t, kind.make(t), cache.Options{})
		c := newCache(t, service, "c", cache.Policy[int]{
			TTLOf: func(v int) time.Duration { return time.Duration(v) * time.Hour },
			Fresh: func(v int) bool { return v != 2 },
		})
		ctx := t.Context()
		for name, replace := range map[string]func() error{
			"Set":          func() error { return c.Set(ctx, "k", -1) },
			"Set of zero":  func() error { return c.Set(ctx, "k", 0) },
			"SetMany":      func() error { return c.SetMany(ctx, map[string]int{"k": 0}) },
			"Update":       func() error { _, err := c.Update(ctx, "k", value(-1)); return err },
			"Update, zero": func() error { _, err := c.Update(ctx, "k", value(0)); return err },
			// the 2 is stale
			"GetOrLoad":       func() error { _, err := c.GetOrLoad(ctx, "k", value(-1)); return err },
			"GetOrLoad, zero": func() error { _, err := c.GetOrLoad(ctx, "k", value(0)); return err },
		} {
			if err := c.Set(ctx, "k", 2); err != nil {
				t.Fatal(err)
			}
			if err := replace(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got, found, err := c.Get(ctx, "k"); found || err != nil {
				t.Errorf("%s over %s: Get = %v, %v, %v", name, kind.name, got, found, err)
			}
		}
	}
}

// If the deletion that comes with a refused value fails, it is not lost silently (G4).
func TestSetReportsAFailedDeletion(t *testing.T) {
	t.Parallel()
	service, recorder, _ := record(t, newBigcache(t), cache.Options{})
	c := newCache(t, service, "c", cache.Policy[int]{TTLOf: func(int) time.Duration { return -1 }})
	recorder.FailNext(drivertest.OpDelete, 3, errOutage)
	for name, err := range map[string]error{
		"forbidden by TTLOf": c.Set(t.Context(), "k", 1),
		"negative TTL":       service.Set(t.Context(), "k", 1, cache.SetOptions{TTL: -1}),
		"Delete":             c.Delete(t.Context(), "k"),
	} {
		var wrapped *cache.Error
		if !errors.Is(err, errOutage) || !errors.As(err, &wrapped) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A panic in a function of a Policy becomes an error. The entry that should have been replaced is
// hidden.
func TestPolicyPanics(t *testing.T) {
	t.Parallel()
	armed := false
	trap := func() {
		if armed {
			panic(errOutage)
		}
	}
	for name, policy := range map[string]cache.Policy[int]{
		"TagsOf": {TagsOf: func(int) []string { trap(); return nil }},
		"TTLOf":  {TTLOf: func(int) time.Duration { trap(); return time.Hour }},
		"Fresh":  {Fresh: func(int) bool { trap(); return false }},
	} {
		service := start(t, newBigcache(t), cache.Options{})
		c := newCache(t, service, "c", policy)
		ctx := t.Context()
		armed = false
		if err := c.Set(ctx, "k", 1); err != nil {
			t.Fatal(err)
		}
		armed = true
		_, updateErr := c.Update(ctx, "k2", value(1))
		got, loadErr := c.GetOrLoad(ctx, "k", value(2))
		if name == "Fresh" {
			var broken *cache.PanicError
			if !errors.As(loadErr, &broken) || !errors.Is(loadErr, errOutage) || updateErr != nil {
				t.Errorf("%s: GetOrLoad = %v, Update = %v", name, loadErr, updateErr)
			}
			continue
		}
		setErr := c.Set(ctx, "k", 2)
		if got != 1 || loadErr != nil || updateErr != nil || !errors.Is(setErr, errOutage) {
			t.Errorf("%s: GetOrLoad = %v, %v; Update = %v; Set = %v", name, got, loadErr, updateErr, setErr)
		}
		if _, found, err := c.Get(ctx, "k"); found || err != nil {
			t.Errorf("%s: the old value is still there: %v, %v", name, found, err)
		}
	}
}

// note is a value that one caller could change for others.
type note struct {
	Lines []string
	Marks map[string]int
	Next  *note
}

func newNote() *note { return &note{[]string{"a"}, map[string]int{"a": 1}, &note{}} }

func (n *note) scribble() {
	n.Lines[0], n.Marks["a"], n.Next.Lines = "x", 2, []string{"x"}
}

func (n *note) clean() bool {
	return slices.Equal(n.Lines, []string{"a"}) && n.Marks["a"] == 1 && n.Next != nil && n.Next.Lines == nil
}

// V14: every caller has a value of its own, both readers and all who wait for one load.
func TestIsolation(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				service := start(t, kind.make(t), cache.Options{})
				c := newCache(t, service, "c", cache.Policy[*note]{})
				ctx := t.Context()
				release := make(chan struct{})
				load := func(context.Context) (*note, error) { <-release; return newNote(), nil }
				var calls []<-chan outcome[*note]
				for range 20 {
					calls = append(calls, async(func() (*note, error) { return c.GetOrLoad(ctx, "k", load) }))
				}
				synctest.Wait()
				close(release)
				for _, call := range calls {
					got := <-call
					if got.err != nil || !got.value.clean() {
						t.Fatalf("%+v", got)
					}
					got.value.scribble()
				}
				if !kind.stores {
					return
				}
				mine := newNote()
				if err := c.Set(ctx, "set", mine); err != nil {
					t.Fatal(err)
				}
				mine.scribble()
				for _, key := range []string{"k", "set", "k", "set"} {
					got, found, err := c.Get(ctx, key)
					if !found || err != nil || !got.clean() {
						t.Fatalf("%s: %+v, %v, %v", key, got, found, err)
					}
					got.scribble()
				}
			})
		})
	}
}

// V14 for types that keep the bytes they are decoded from.
func TestIsolationOfOwnedBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[*owning]{})
		release := make(chan struct{})
		load := func(context.Context) (*owning, error) { <-release; return &owning{[]byte("text")}, nil }
		var calls []<-chan outcome[*owning]
		for range 5 {
			calls = append(calls, async(func() (*owning, error) { return c.GetOrLoad(t.Context(), "k", load) }))
		}
		synctest.Wait()
		close(release)
		for range 2 {
			calls = append(calls, async(func() (*owning, error) { return c.GetOrLoad(t.Context(), "k", load) }))
		}
		for _, call := range calls {
			got := <-call
			if got.err != nil || !bytes.Equal(got.value.bytes, []byte("text")) {
				t.Fatalf("%+v", got)
			}
			copy(got.value.bytes, "####")
		}
	})
}

// New copies the policy.
func TestPolicyIsCopied(t *testing.T) {
	t.Parallel()
	service := start(t, newBigcache(t), cache.Options{})
	tags := []string{"a"}
	c := newCache(t, service, "c", cache.Policy[int]{Tags: tags})
	tags[0] = "b"
	if err := c.Set(t.Context(), "k", 1); err != nil {
		t.Fatal(err)
	}
	if err := c.InvalidateTags(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, found, err := c.Get(t.Context(), "k"); found || err != nil {
		t.Errorf("Get = %v, %v", found, err)
	}
}

// Values that cannot be shared, because they do not encode or are too large, still reach all
// waiting callers.
func TestWaitersOfAnUnencodableValue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[any]{})
		release := make(chan struct{})
		load := func(context.Context) (any, error) { <-release; return make(chan int), nil }
		var calls []<-chan outcome[any]
		for range 5 {
			calls = append(calls, async(func() (any, error) { return c.GetOrLoad(t.Context(), "k", load) }))
		}
		synctest.Wait()
		close(release)
		seen := map[any]bool{}
		for _, call := range calls {
			got := <-call
			if got.err != nil || got.value == nil || seen[got.value] {
				t.Errorf("%+v", got)
			}
			seen[got.value] = true
		}
	})
}

// lossy can be encoded, but not decoded.
type lossy struct{ X int }

func (lossy) MarshalJSON() ([]byte, error)  { return []byte(`"VALUEdistinct"`), nil }
func (*lossy) UnmarshalJSON(b []byte) error { return errors.New("bad " + string(b)) }

// A value that does not survive its own codec still reaches every caller that waits for the load.
func TestWaitersOfALossyValue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, start(t, newBigcache(t), cache.Options{}), "c", cache.Policy[lossy]{})
		release := make(chan struct{})
		load := func(context.Context) (lossy, error) { <-release; return lossy{7}, nil }
		var calls []<-chan outcome[lossy]
		for range 3 {
			calls = append(calls, async(func() (lossy, error) { return c.GetOrLoad(t.Context(), "k", load) }))
		}
		synctest.Wait()
		close(release)
		for _, call := range calls {
			if got := <-call; got.value.X != 7 || got.err != nil {
				t.Errorf("%+v", got)
			}
		}
	})
}
