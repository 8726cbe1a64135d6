package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// However many leases may be out, a lane remembers a bounded number of them.
func TestOrphansAreBounded(t *testing.T) {
	t.Parallel()
	c, keys := bare(t).client, newKeyspace("n:", 2) // nothing can be released
	c.timeout = time.Second
	all := newOrphans(c, 2, time.Hour)
	k := keys.of("n:k")
	for i := range 3 * maxOrphans {
		all.releaseLater(k, fmt.Sprint(i))
	}
	o := &all.lanes[k.lane.number]
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.waiting); n > maxOrphans+perPipeline { // those that are being tried come on top
		t.Errorf("%d are remembered", n)
	}
}

// The bound is the holder's to keep: when it is over, the server is not even asked.
func TestLeaseIsNotExtendedForEver(t *testing.T) {
	t.Parallel()
	s, err := New(Options{LeaseTTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	extend := func(age time.Duration) (bool, error) {
		return s.Extend(t.Context(), &driver.Lease{Key: "n:k", State: leaseState{asked: time.Now().Add(-age)}})
	}
	if _, err := extend(driver.MaxLeaseTTL - 2*time.Minute); !errors.Is(err, driver.ErrClosed) { // never initialised
		t.Errorf("of a young lease: %v", err)
	}
	if held, err := extend(driver.MaxLeaseTTL - time.Minute); held || err != nil {
		t.Errorf("of one that would be too old: %t, %v", held, err)
	}
}
