package drivertest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// batchLeasing checks that a driver.BatchLeaser answers for many keys as the Leaser does for one
// after the other.
var batchLeasing = []check{
	{"NoKeys", func(s *subject) {
		b := s.batchLeaser()
		n := len(b.GetOrLeaseMany(s.ctx, nil)) + len(b.LeaseMany(s.ctx, nil)) + len(b.FillMany(s.ctx, nil)) + len(b.ReleaseMany(s.ctx, nil))
		if n != 0 {
			s.Errorf("of no keys, there are %d results", n)
		}
	}},
	{"GetOrLeaseManyIsGetOrLease", func(s *subject) {
		s.batchLeaser()
		s.set("hit", "1", time.Minute, "tag")
		s.set("deleted", "2", time.Minute)
		s.set("invalidated", "3", time.Minute, "gone")
		s.delete("deleted")
		s.invalidate("gone")
		held := s.lease("held")
		granted := s.leases(true, "deleted", "hit", "held", "missing", "invalidated")
		for i, want := range []struct {
			value  string
			leased bool
		}{{"", true}, {"1", false}, {"", false}, {"", true}, {"", true}} {
			if r := granted[i]; r.Err != nil || string(r.Value) != want.value || r.Found != (want.value != "") || (r.Lease != nil) != want.leased {
				s.Errorf("GetOrLeaseMany, key %d: %s, found %t, lease %t, error %v; want %s, lease %t",
					i, show(string(r.Value)), r.Found, r.Lease != nil, r.Err, show(want.value), want.leased)
			}
		}
		s.fill(held, "v", time.Minute)
		for i, again := range s.leases(true, "deleted", "missing") {
			if again.Lease != nil || again.Found {
				s.Errorf("GetOrLeaseMany again, key %d: found %t, lease %t; want neither", i, again.Found, again.Lease != nil)
			}
		}
		if missing := granted[3].Lease; missing != nil {
			s.fill(missing, "new", time.Minute)
			s.hit("missing", "new", "after Fill under a lease of GetOrLeaseMany")
		}
	}},
	{"LeaseManyIsLease", func(s *subject) {
		s.batchLeaser()
		s.set("stored", "1", time.Minute)
		s.lease("held")
		granted := s.leases(false, "held", "stored", "missing")
		if granted[0].Lease != nil || granted[1].Lease == nil || granted[2].Lease == nil || granted[1].Found {
			s.Fatalf("LeaseMany of a key that is held, one that is stored, and one that is missing: leases %t, %t, %t, found %t; want the last two, and no value",
				granted[0].Lease != nil, granted[1].Lease != nil, granted[2].Lease != nil, granted[1].Found)
		}
		s.hit("stored", "1", "after LeaseMany, which changes no entry")
		s.fill(granted[1].Lease, "2", time.Minute)
		s.hit("stored", "2", "after LeaseMany and Fill")
	}},
	{"FillManyIsFill", func(s *subject) {
		s.batchLeaser()
		s.set("keeps", "stored", long)
		granted := s.leases(false, "plain", "deleted", "short", "keeps")
		s.delete("deleted")
		s.invalidate("gone")
		value := []byte("1")
		fills := []driver.Fill{
			{Lease: granted[0].Lease, Value: value, Options: s.opts(long, "own")},
			{Lease: granted[1].Lease, Value: []byte("stale"), Options: s.opts(long)},
			{Lease: granted[2].Lease, Value: []byte("2"), Options: s.opts(short, "other")},
			{Lease: granted[3].Lease, Value: []byte("stale"), Options: s.opts(long, "gone")},
			{Lease: nil, Value: []byte("stale"), Options: s.opts(long)},
		}
		s.filled(fills, true, false, true, false, false)
		copy(value, "x")
		s.hit("plain", "1", "after FillMany, whose caller changed the value later")
		s.miss("deleted", "after a FillMany under a lease from before Delete")
		s.hit("keeps", "stored", "after a FillMany that was refused")
		s.filled(fills, false, false, false, false, false)
		s.elapse(2*short + s.granularity)
		s.miss("short", "after its TTL")
		s.hit("plain", "1", "after the TTL of another fill")
		s.invalidate("other")
		s.hit("plain", "1", "after InvalidateTags of the tag of another fill")
		s.invalidate("own")
		s.miss("plain", "after InvalidateTags of a tag that FillMany gave it")
		for _, r := range s.leases(true, "plain", "deleted") {
			if r.Lease == nil {
				s.Errorf("GetOrLeaseMany after FillMany gave up the leases: no lease")
			}
		}
	}},
	{"RefusedFills", func(s *subject) {
		b := s.batchLeaser()
		s.set("zero", "old", time.Minute)
		granted := s.leases(false, "zero", "good")
		results := b.FillMany(s.ctx, []driver.Fill{
			{Lease: granted[0].Lease, Value: []byte("new"), Options: s.opts(0)},
			{Lease: granted[1].Lease, Value: []byte("new"), Options: s.opts(time.Minute)},
		})
		if len(results) != 2 || !errors.Is(results[0].Err, driver.ErrInvalidTTL) || results[0].Stored || results[1].Err != nil || !results[1].Stored {
			s.Errorf("FillMany with TTLs of 0 and a minute: %v, want cache.ErrInvalidTTL for the first, and the second stored", results)
		}
		s.miss("zero", "after FillMany with a TTL of 0, which hides what was there")
		s.hit("good", "new", "after FillMany, where another was refused")
	}},
	{"ReleaseManyIsRelease", func(s *subject) {
		b := s.batchLeaser()
		granted := s.leases(false, "a", "b", "key")
		held := granted[2].Lease
		for _, err := range b.ReleaseMany(s.ctx, []*driver.Lease{granted[0].Lease, nil, granted[1].Lease}) {
			if err != nil {
				s.Errorf("ReleaseMany: %v", err)
			}
		}
		s.lease("a")
		s.lease("b")
		s.noLease("after ReleaseMany of others")
		s.fill(held, "v", time.Minute)
	}},
	{"ExtendManyIsExtend", func(s *subject) {
		b := s.batchLeaser()
		_, term, limit := s.extender()
		s.needsClock()
		if limit < 2*term {
			s.Skip("no lease can be extended")
		}
		granted := s.leases(false, "key", "released")
		s.release(granted[1].Lease)
		s.elapse(term * 2 / 3)
		results := b.ExtendMany(s.ctx, []*driver.Lease{granted[1].Lease, granted[0].Lease, nil})
		if len(results) != 3 || errors.Join(results[0].Err, results[1].Err, results[2].Err) != nil {
			s.Fatalf("ExtendMany of 3 leases: %v", results)
		}
		if results[0].Held || !results[1].Held || results[2].Held {
			s.Errorf("ExtendMany of a released lease, one that is held, and none: %v", results)
		}
		s.elapse(term * 2 / 3)
		s.noLease("after ExtendMany of the holder's")
		s.fill(granted[0].Lease, "v", time.Minute)
	}},
	{"ManyKeys", func(s *subject) {
		b := s.batchLeaser()
		const n = 600
		keys, fills := make([]string, n), make([]driver.Fill, n)
		for i := range keys {
			keys[i] = fmt.Sprint("key", i)
		}
		for i, r := range s.leases(true, keys...) {
			if r.Lease == nil || r.Lease.Key != s.physical(keys[i]) {
				s.Fatalf("GetOrLeaseMany, key %d of %d: lease %t, or for another key", i, n, r.Lease != nil)
			}
			fills[i] = driver.Fill{Lease: r.Lease, Value: fmt.Append(nil, "v", i), Options: s.opts(time.Minute, fmt.Sprint("own", i%10))}
		}
		for i, r := range b.FillMany(s.ctx, fills) {
			if !r.Stored || r.Err != nil {
				s.Fatalf("FillMany, fill %d of %d: stored %t, error %v", i, n, r.Stored, r.Err)
			}
		}
		for i, r := range s.leases(true, keys...) {
			if string(r.Value) != fmt.Sprint("v", i) {
				s.Fatalf("GetOrLeaseMany, key %d of %d: %s after FillMany", i, n, show(string(r.Value)))
			}
		}
	}},
	{"EndedContext", func(s *subject) {
		b := s.batchLeaser()
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		// A strategy that never waits may answer all the same.
		granted := b.GetOrLeaseMany(ctx, s.physicals([]string{"a", "b"}))
		if len(granted) != 2 {
			s.Fatalf("GetOrLeaseMany of 2 keys with an ended context: %d results", len(granted))
		}
		results := b.FillMany(ctx, []driver.Fill{{Lease: granted[0].Lease, Value: []byte("v"), Options: s.opts(time.Minute)}})
		if len(results) != 1 || results[0].Stored && granted[0].Lease == nil {
			s.Errorf("FillMany with an ended context: %v", results)
		}
	}},
}

// batchLeaser returns the strategy as a BatchLeaser, and skips the check if it is not one.
func (s *subject) batchLeaser() driver.BatchLeaser {
	s.Helper()
	b := s.features.BatchLeaser
	if b == nil {
		s.Skip("the strategy is not a cache.BatchLeaser")
	}
	return b
}

// leases asks for many leases, if read by GetOrLeaseMany.
func (s *subject) leases(read bool, keys ...string) []driver.LeaseResult {
	s.Helper()
	ask := s.batchLeaser().LeaseMany
	if read {
		ask = s.batchLeaser().GetOrLeaseMany
	}
	results := ask(s.ctx, s.physicals(keys))
	if len(results) != len(keys) {
		s.Fatalf("of %d keys, there are %d results", len(keys), len(results))
	}
	for i, r := range results {
		if r.Err != nil {
			s.Fatalf("a lease on %s: %v", show(keys[i]), r.Err)
		}
	}
	return results
}

// filled calls FillMany, and checks which of fills are stored.
func (s *subject) filled(fills []driver.Fill, want ...bool) {
	s.Helper()
	results := s.batchLeaser().FillMany(s.ctx, fills)
	if len(results) != len(fills) {
		s.Fatalf("FillMany of %d: %d results", len(fills), len(results))
	}
	for i, r := range results {
		if r.Err != nil || r.Stored != want[i] {
			s.Errorf("FillMany, fill %d: stored %t, error %v; want %t", i, r.Stored, r.Err, want[i])
		}
	}
}
