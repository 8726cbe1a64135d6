package redis_test

import (
	"context"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// A batch of fills names once what entries that are alike have in common. Each has its own lease,
// TTL and tags nevertheless, whatever those beside it have.
func TestFillsOfABatchThatAreAlike(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	s := start(t, server, redis.Options{})
	ctx := t.Context()
	entries := []struct {
		name    string
		ttl     time.Duration
		tags    []string
		deleted bool // between the lease and the fill
	}{
		{"a", time.Hour, []string{"n:x"}, false},
		{"b", time.Hour, []string{"n:x"}, true},
		{"c", time.Hour, []string{"n:x"}, false},
		{"d", time.Hour, []string{"n:y"}, false},
		{"e", time.Minute, []string{"n:y"}, false},
		{"i", time.Minute, []string{"n:y"}, false},
		{"f", time.Minute, nil, false},
		{"g", time.Minute, []string{"n:y", "n:x", "n:y"}, false},
		{"h", time.Minute, []string{"n:late"}, false},
	}
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = "n:" + e.name
	}
	// Some of the leases were asked for together, and some with others.
	leases := s.GetOrLeaseMany(ctx, keys[:5]) // up to e
	leases = append(leases, s.LeaseMany(ctx, keys[5:8])...)
	leases = append(leases, s.LeaseMany(ctx, keys[8:])...)
	fills := make([]driver.Fill, len(entries))
	for i, e := range entries {
		if leases[i].Lease == nil {
			t.Fatalf("%s: %+v", e.name, leases[i])
		}
		fills[i] = driver.Fill{Lease: leases[i].Lease, Value: []byte(e.name), Options: driver.SetOptions{TTL: e.ttl, Tags: e.tags}}
		if e.deleted {
			s.must(s.Delete(ctx, keys[i]))
		}
	}
	s.must(s.InvalidateTags(ctx, "n:late"))
	for i, r := range s.FillMany(ctx, fills) {
		if want := !entries[i].deleted && entries[i].name != "h"; r.Stored != want || r.Err != nil {
			t.Errorf("%s: stored %t, %v, want %t", entries[i].name, r.Stored, r.Err, want)
		}
	}
	if n := out(t, server); n != 0 {
		t.Errorf("%d leases are out", n)
	}
	for _, e := range entries {
		life, err := server.Do(ctx, "PTTL", "n:v:{0}:"+e.name)
		s.must(err)
		left := time.Duration(life.(int64)) * time.Millisecond
		if gone := e.deleted || e.name == "h"; gone != (left < 0) || !gone && (left > e.ttl || left < e.ttl-30*time.Second) {
			t.Errorf("%s lives for %v more, of %v", e.name, left, e.ttl)
		}
	}
	wantFound(ctx, t, s, keys, "acdeifg")
	s.must(s.InvalidateTags(ctx, "n:y"))
	wantFound(ctx, t, s, keys, "acf")
	s.must(s.InvalidateTags(ctx, "n:x"))
	wantFound(ctx, t, s, keys, "f")
}

// wantFound reads keys, whose values are their last letters.
func wantFound(ctx context.Context, t *testing.T, s *started, keys []string, want string) {
	t.Helper()
	found := ""
	for i, r := range s.GetMany(ctx, keys, nil) {
		if r.Err != nil || r.Found && "n:"+string(r.Value) != keys[i] {
			t.Errorf("%s: %+v", keys[i], r)
		}
		if r.Found {
			found += string(r.Value)
		}
	}
	if found != want {
		t.Errorf("found %q, want %q", found, want)
	}
}
