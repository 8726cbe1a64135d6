package redis_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

var others atomic.Int64

// invalidateOthers invalidates tags that nobody else has, n times 1,000 of them.
func (s *started) invalidateOthers(n int) {
	s.Helper()
	for range n {
		tags := make([]string, 1000)
		for i := range tags {
			tags[i] = fmt.Sprint("n:other:", others.Add(1))
		}
		s.must(s.InvalidateTags(s.Context(), tags...))
	}
}

// Fills whose own tags were not invalidated are stored, whatever others were while their loader
// ran: at 20,000 tags a second, 40,000 are two seconds. The ledger's pages are turned meanwhile,
// and it is bounded: a lease from before both of its pages is refused. One whose own tag was
// invalidated is always refused.
func TestOtherTagsRefuseNoFills(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for _, test := range []struct {
		name          string
		before, after int    // thousands of tags between the lease, the invalidation, and the fill
		own           string // what is invalidated between before and after; empty: nothing
		stored        bool
	}{
		{"nothing", 0, 0, "", true},
		{"a page turned", 40, 0, "", true},
		{"the own tag before the page is turned", 0, 40, "n:learned", false},
		{"the own tag in the new page", 40, 0, "n:learned", false},
		{"the static tag before the page is turned", 0, 40, "n:static", false},
		{"both pages forgotten", 80, 0, "", false},
		{"the own tag, and both pages forgotten", 0, 80, "n:learned", false},
		{"few tags, of a thousand leases", 1, 1, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, redistest.Start(t), redis.Options{})
			opts := driver.SetOptions{TTL: time.Minute, Tags: []string{"n:static", "n:learned"}}
			for round := range 2 { // in the second one there is an earlier page already
				lease, err := s.Lease(t.Context(), "n:k")
				s.must(err)
				s.invalidateOthers(test.before)
				if test.own != "" {
					s.must(s.InvalidateTags(t.Context(), test.own))
				}
				s.invalidateOthers(test.after)
				stored, err := s.Fill(t.Context(), lease, []byte("value of n:k"), opts)
				s.must(err)
				if stored != test.stored || s.found("n:k") != test.stored {
					t.Errorf("round %d: stored %t, want %t", round, stored, test.stored)
				}
			}
			for _, page := range []string{"n:g:{0}:", "n:h:{0}:"} {
				size := s.direct("HLEN", page).(int64)
				life := s.direct("PTTL", page).(int64)
				memory, _ := s.direct("MEMORY", "USAGE", page, "SAMPLES", "0").(int64)
				t.Logf("%s: %d fields, %d bytes, %d ms to live", page, size, memory, life)
				if size > 34_000 || size > 0 && (life <= 0 || life > 21_000) {
					t.Errorf("%s has %d fields and lives %d ms: it is not bounded", page, size, life)
				}
			}
		})
	}
}

// Either page may be evicted: what it may have held refuses the fill.
func TestLostPage(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	for _, page := range []string{"n:g:{0}:", "n:h:{0}:"} {
		for _, again := range []bool{false, true} { // whether there is another such page at the time of the fill
			lease, err := s.Lease(t.Context(), "n:k")
			s.must(err)
			s.must(s.InvalidateTags(t.Context(), "n:learned"))
			s.invalidateOthers(40)
			if s.direct("DEL", page) != int64(1) {
				t.Fatalf("no page %s: the test proves nothing", page)
			}
			if again {
				_, err := s.Lease(t.Context(), "n:another")
				s.must(err)
				s.invalidateOthers(40)
				s.must(s.Delete(t.Context(), "n:another"))
			}
			stored, err := s.Fill(t.Context(), lease, []byte("old"), driver.SetOptions{TTL: time.Minute, Tags: []string{"n:learned"}})
			if stored || err != nil || s.found("n:k") {
				t.Errorf("%s lost, and there is another: %t; stored %t, %v; want it refused", page, again, stored, err)
			}
		}
	}
}

// A page that has some tags is turned when it is older than any lease, and what is older is
// forgotten: the ledger has the tags of a few seconds, however long there have been leases all the
// time.
func TestLedgerForgetsByTime(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{LeaseTTL: time.Second}) // a page is old after 3 s
	_, err := s.Lease(t.Context(), "n:first")
	s.must(err)
	s.invalidateOthers(2)
	s.direct("HSET", "n:g:{0}:", "t", "0") // so long ago
	lease, err := s.Lease(t.Context(), "n:k")
	s.must(err)
	s.invalidateOthers(1)
	if current, earlier := s.direct("HLEN", "n:g:{0}:"), s.direct("HLEN", "n:h:{0}:"); current != int64(1004) || earlier != int64(2004) {
		t.Errorf("the pages have %v and %v fields, want the tags of the last invalidation, and those before", current, earlier)
	}
	stored, err := s.Fill(t.Context(), lease, []byte("value of n:k"), driver.SetOptions{TTL: time.Minute, Tags: []string{"n:learned"}})
	if !stored || err != nil {
		t.Errorf("a lease from the page before: stored %t, %v", stored, err)
	}
}
