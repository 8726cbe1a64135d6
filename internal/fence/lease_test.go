package fence_test

import (
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/fence"
)

// fill reports whether Fill stored. It also checks that write ran if and only if Fill stored.
func fill(t *testing.T, f *fence.Fence, key, sequence uint64, tags ...uint64) bool {
	t.Helper()
	ran := false
	stored, err := f.Fill(key, sequence, tags, func() error { ran = true; return nil })
	if err != nil || stored != ran {
		t.Fatalf("Fill: stored %t, write ran %t, error %v", stored, ran, err)
	}
	return stored
}

func lease(t *testing.T, f *fence.Fence, key uint64) (sequence uint64) {
	t.Helper()
	sequence, granted := f.Lease(key)
	if !granted {
		t.Fatal("no lease, although nobody holds it")
	}
	return sequence
}

// What may happen between Lease and Fill of key 1 with tag 7, and whether the Fill is good then.
func TestFill(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		event  func(f *fence.Fence, advance func(time.Duration))
		stored bool
	}{
		"nothing":               {func(*fence.Fence, func(time.Duration)) {}, true},
		"another key's update":  {func(f *fence.Fence, _ func(time.Duration)) { _ = f.Update(2, nothing) }, true},
		"another tag":           {func(f *fence.Fence, _ func(time.Duration)) { f.Finish(f.Begin(), 8) }, true},
		"a refused lease":       {func(f *fence.Fence, _ func(time.Duration)) { f.Lease(1) }, true},
		"release of another":    {func(f *fence.Fence, _ func(time.Duration)) { f.Release(1, f.Sequence()+1) }, true},
		"release of zero":       {func(f *fence.Fence, _ func(time.Duration)) { f.Release(1, 0) }, true},
		"just before its end":   {func(_ *fence.Fence, advance func(time.Duration)) { advance(leaseTTL - 1) }, true},
		"an update of the key":  {func(f *fence.Fence, _ func(time.Duration)) { _ = f.Update(1, nothing) }, false},
		"the tag":               {func(f *fence.Fence, _ func(time.Duration)) { f.Finish(f.Begin(), 7) }, false},
		"the tag, among others": {func(f *fence.Fence, _ func(time.Duration)) { f.Finish(f.Begin(), 8, 7, 9) }, false},
		"a clear":               {func(f *fence.Fence, _ func(time.Duration)) { f.Clear() }, false},
		"its release":           {func(f *fence.Fence, _ func(time.Duration)) { f.Release(1, f.Sequence()) }, false},
		"its end":               {func(_ *fence.Fence, advance func(time.Duration)) { advance(leaseTTL) }, false},
		"a successor": {func(f *fence.Fence, _ func(time.Duration)) {
			f.Release(1, f.Sequence())
			f.Lease(1)
		}, false},
		"its end and a successor": {func(f *fence.Fence, advance func(time.Duration)) {
			advance(leaseTTL)
			f.Lease(1)
		}, false},
		"the tag, forgotten since": {func(f *fence.Fence, _ func(time.Duration)) {
			f.Finish(f.Begin(), 7)
			for tag := range uint64(10_000) {
				f.Finish(f.Begin(), 100+tag)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, advance := newFence(64, 1024)
			sequence := lease(t, f, 1)
			test.event(f, advance)
			if got := fill(t, f, 1, sequence, 6, 7); got != test.stored {
				t.Errorf("stored = %t, want %t", got, test.stored)
			}
			if fill(t, f, 1, sequence, 6, 7) {
				t.Error("a second Fill with the same lease stored")
			}
		})
	}
}

func nothing() error { return nil }

// A refused Fill gives up the lease too, so that the next loader need not wait.
func TestRefusedFillFreesTheLease(t *testing.T) {
	t.Parallel()
	f, _ := newFence(64, 1024)
	sequence := lease(t, f, 1)
	f.Finish(f.Begin(), 7)
	if fill(t, f, 1, sequence, 7) {
		t.Fatal("stored after the tag was invalidated")
	}
	if next := lease(t, f, 1); !fill(t, f, 1, next, 7) {
		t.Error("the next holder could not store")
	}
}

// Which operations free a lease for the next caller, and which do not.
func TestLeaseIsExclusive(t *testing.T) {
	t.Parallel()
	f, advance := newFence(64, 1024)
	held := lease(t, f, 1)
	for name, event := range map[string]func(){
		"nothing":                   func() {},
		"an unknown release":        func() { f.Release(1, held+1) },
		"a release of another key":  func() { f.Release(2, held) },
		"a tag":                     func() { f.InvalidateTags("tag") },
		"a fill with another lease": func() { fill(t, f, 1, held+1) },
	} {
		if event(); granted(f, 1) {
			t.Errorf("a second lease was granted after %s", name)
		}
	}
	for name, event := range map[string]func(sequence uint64){
		"Release": func(sequence uint64) { f.Release(1, sequence) },
		"Update":  func(uint64) { _ = f.Update(1, nothing) },
		"Clear":   func(uint64) { f.Clear() },
		"Fill":    func(sequence uint64) { fill(t, f, 1, sequence) },
		"its end": func(uint64) { advance(leaseTTL) },
	} {
		_ = f.Update(1, nothing)
		if event(lease(t, f, 1)); !granted(f, 1) {
			t.Errorf("no lease after %s", name)
		}
	}
	if first, second := lease(t, f, 2), lease(t, f, 3); first == second {
		t.Error("two leases have the same sequence")
	}
}

func granted(f *fence.Fence, key uint64) bool {
	_, ok := f.Lease(key)
	return ok
}

// Leases that are never given back are bounded. A revoked lease stores nothing; the newest always
// can.
func TestLeasesAreBounded(t *testing.T) {
	t.Parallel()
	const limit, n = 4 * fence.StripeCount, 40 * fence.StripeCount
	f, _ := newFence(64, limit)
	sequences := make([]uint64, n)
	for key := range sequences {
		sequences[key] = lease(t, f, uint64(key))
		if key%101 != 0 && key != n-1 {
			continue
		}
		if got := f.Leases(); got > limit {
			t.Fatalf("%d leases are kept, want at most %d", got, limit)
		}
	}
	stored := 0
	for key, sequence := range sequences {
		if fill(t, f, uint64(key), sequence) {
			stored++
		} else if key == n-1 {
			t.Error("the newest lease was revoked by its own grant")
		}
	}
	if stored != limit {
		t.Errorf("%d leases were good, want the %d that fit", stored, limit)
	}
}

// Dead leases give way before live ones do.
func TestDeadLeasesGoFirst(t *testing.T) {
	t.Parallel()
	f, advance := newFence(64, 4*fence.StripeCount) // four in each stripe
	key := uint64(0)
	next := func() uint64 { key += fence.StripeCount; return key } // all of one stripe
	for range 20 {
		for range 3 {
			lease(t, f, next())
		}
		advance(leaseTTL)
		alive := next()
		sequence := lease(t, f, alive)
		for range 3 {
			lease(t, f, next())
		}
		if !fill(t, f, alive, sequence) {
			t.Fatal("a live lease was revoked, while dead ones were kept")
		}
		advance(leaseTTL)
	}
}

// The key is locked while it is written. Otherwise a Fill could check before an Update and write
// after it.
func TestWritesExcludeEachOther(t *testing.T) {
	t.Parallel()
	f, _ := newFence(64, 1024)
	locked := func() error {
		if !f.Locked(1) {
			t.Error("the key is not locked while it is written")
		}
		return nil
	}
	if err := f.Update(1, locked); err != nil {
		t.Error(err)
	}
	if stored, err := f.Fill(1, lease(t, f, 1), nil, locked); !stored || err != nil {
		t.Errorf("Fill: stored %t, error %v", stored, err)
	}
	if f.Locked(1) {
		t.Error("the key is still locked")
	}
}
