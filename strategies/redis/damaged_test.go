package redis_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// What is no whole entry is a miss for every way of reading, and does not stand in the way of a new
// one.
func TestDamagedEntries(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	const physical = "n:v:{0}:k"
	opts := driver.SetOptions{TTL: time.Hour, Tags: []string{"n:t", "n:another"}}
	s.set("n:k", time.Hour, opts.Tags...)
	whole, _ := s.direct("GET", physical).(string)
	header := len(whole) - len("value of n:k")
	damaged := map[string]string{
		"too many tags":  whole[:9] + "\xff\xff" + strings.Repeat("\x00", 0xffff*(2+16)),
		"no entry":       "\x01 and then what somebody else has written, at some length",
		"another format": "\x02" + whole[1:],
		"over":           whole[:1] + strings.Repeat("\x00", 8) + whole[9:], // for us; the server's clock is behind
	}
	for n := range header {
		damaged[fmt.Sprintf("the first %d bytes of %d", n, header)] = whole[:n]
	}
	for name, value := range damaged {
		s.direct("SET", physical, value)
		if value, found, err := s.Get(t.Context(), "n:k"); value != nil || found || err != nil {
			t.Errorf("%s: Get: %q, %t, %v", name, value, found, err)
		}
		if value, found, err := s.GetHinted(t.Context(), "n:k", opts.Tags); value != nil || found || err != nil {
			t.Errorf("%s: GetHinted: %q, %t, %v", name, value, found, err)
		}
		for _, hint := range [][]string{nil, opts.Tags} {
			if r := s.GetMany(t.Context(), []string{"n:k"}, hint)[0]; r.Value != nil || r.Found || r.Err != nil {
				t.Errorf("%s: GetMany with the hint %q: %+v", name, hint, r)
			}
		}
		value, found, lease, err := s.GetOrLease(t.Context(), "n:k")
		if value != nil || found || lease == nil || err != nil {
			t.Errorf("%s: GetOrLease: %q, %t, %v, %v", name, value, found, lease, err)
			continue
		}
		if stored, err := s.Fill(t.Context(), lease, []byte("value of n:k"), opts); !stored || err != nil {
			t.Errorf("%s: Fill: %t, %v", name, stored, err)
		}
		if !s.found("n:k") {
			t.Errorf("%s: what was filled is not found", name)
		}
	}
}
