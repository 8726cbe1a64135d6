package bigcache_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// Sequences begin anew with each Init, so that a lease from before could pass for a later one: it
// must know whose it is, although key and sequence are those of a lease that is held now.
func TestLeaseOfAnEarlierInit(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	before := o.lease("key")
	o.destroy()
	o.init(cache.Options{})
	now := o.lease("key")
	if before.Sequence != now.Sequence {
		t.Fatalf("sequences %d and %d: the test shows nothing", before.Sequence, now.Sequence)
	}
	if o.fill(before, "stale") {
		t.Error("a lease of an earlier Init could store")
	}
	o.miss("key")
	if err := o.Release(t.Context(), before); err != nil {
		t.Error(err)
	}
	if !o.fill(now, "v") {
		t.Error("a lease of an earlier Init gave up the present one")
	}
	o.hit("key", "v")
}

// Leases that are not ours, or not for this key, store nothing and take nothing from their holders.
func TestForeignLeases(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	other := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	held := o.lease("key")
	renamed := *o.lease("another")
	renamed.Key = "key"
	guessed := *held
	guessed.Sequence++
	for name, lease := range map[string]*driver.Lease{
		"nil":                  nil,
		"zero":                 {},
		"of nobody":            {Key: "key", Sequence: held.Sequence},
		"of another strategy":  other.lease("key"),
		"for another key":      &renamed,
		"of another sequence":  &guessed,
		"with a foreign state": {Key: "key", Sequence: held.Sequence, State: other},
	} {
		if o.fill(lease, "stale") {
			t.Errorf("a lease that is %s could store", name)
		}
		o.miss("key")
		if err := o.Release(t.Context(), lease); err != nil {
			t.Errorf("Release of a lease that is %s: %v", name, err)
		}
	}
	if !o.fill(held, "v") {
		t.Error("the holder lost its lease to foreign ones")
	}
}

// A lease ends on time: lease_ttl later it stores nothing, and no longer keeps others waiting.
func TestLeaseTTL(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB, LeaseTTL: time.Second}, cache.Options{})
	lease := o.lease("key")
	o.clock.Advance(time.Second - 1)
	if !o.fill(lease, "v") {
		t.Error("a lease ended before lease_ttl")
	}
	lease = o.lease("key")
	o.clock.Advance(time.Second)
	if o.fill(lease, "stale") {
		t.Error("a lease could store after lease_ttl")
	}
	o.hit("key", "v")
}

// An operation whose context has ended stores nothing; Delete and InvalidateTags are applied all
// the same, because a revocation that is lost is worse than a late one.
func TestEndedContext(t *testing.T) {
	t.Parallel()
	o := start(t, bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	opts := driver.SetOptions{TTL: time.Hour, Tags: []string{"tag"}}

	o.set("key", "old")
	if err := o.Set(ended, "key", []byte("new"), opts); !errors.Is(err, context.Canceled) {
		t.Errorf("Set: %v", err)
	}
	o.miss("key")
	o.set("key", "old")
	if stored, err := o.Fill(ended, o.lease("key"), []byte("new"), opts); stored || !errors.Is(err, context.Canceled) {
		t.Errorf("Fill: stored %t, error %v", stored, err)
	}
	o.miss("key")
	o.set("key", "v", "tag")
	if _, found, err := o.Get(ended, "key"); found || !errors.Is(err, context.Canceled) {
		t.Errorf("Get: found %t, error %v", found, err)
	}
	if lease, err := o.Lease(ended, "key"); lease != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("Lease: granted %t, error %v", lease != nil, err)
	}
	if err := o.InvalidateTags(ended, "tag"); err != nil {
		t.Errorf("InvalidateTags: %v", err)
	}
	o.miss("key")
	o.set("key", "v")
	if err := o.Delete(ended, "key"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	o.miss("key")
}
