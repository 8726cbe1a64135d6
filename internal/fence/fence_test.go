package fence_test

import (
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/internal/fence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	leaseTTL    = time.Minute
	maxLeaseTTL = 5 * time.Minute
)

// newFence returns a Fence whose clock stands still, and a function that advances it.
func newFence(maxTags, maxLeases int) (f *fence.Fence, advance func(time.Duration)) {
	now := time.Unix(1_000_000, 0)
	f = fence.New(fence.Options{
		MaxTags: maxTags, MaxLeases: maxLeases, LeaseTTL: leaseTTL, MaxLeaseTTL: maxLeaseTTL,
		Now: func() time.Time { return now },
	})
	return f, func(d time.Duration) { now = now.Add(d) }
}

func TestHash(t *testing.T) {
	t.Parallel()
	one, _ := newFence(16, 16)
	two, _ := newFence(16, 16)
	first := one.Hash("name")
	if again := one.Hash("name"); again != first || one.Hash("eman") == first {
		t.Error("Hash does not tell names apart, or changes")
	}
	// Else collisions could be computed beforehand.
	if two.Hash("name") == first {
		t.Error("two Fences hash alike: the seed is not random")
	}
}

// What is invalidated, and what is not, for an entry with the tags 1 and 2.
func TestGood(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		event func(f *fence.Fence)
		good  bool
		clean bool // not even a look-up is needed
	}{
		"nothing":                     {func(*fence.Fence) {}, true, true},
		"no tags":                     {func(f *fence.Fence) { f.InvalidateTags() }, true, true},
		"a lease":                     {func(f *fence.Fence) { f.Lease(1) }, true, true},
		"an update":                   {func(f *fence.Fence) { _ = f.Update(1, func() error { return nil }) }, true, true},
		"another tag":                 {func(f *fence.Fence) { f.InvalidateTags("3") }, true, false},
		"the first tag":               {func(f *fence.Fence) { f.InvalidateTags("1") }, false, false},
		"the last tag":                {func(f *fence.Fence) { f.InvalidateTags("2") }, false, false},
		"among others":                {func(f *fence.Fence) { f.InvalidateTags("3", "2", "3") }, false, false},
		"a clear":                     {func(f *fence.Fence) { f.Clear() }, false, false},
		"a clear, then another tag":   {func(f *fence.Fence) { f.Clear(); f.InvalidateTags("3") }, false, false},
		"its tag, then another":       {func(f *fence.Fence) { f.InvalidateTags("1"); f.InvalidateTags("3") }, false, false},
		"its tag, not yet in the log": {func(f *fence.Fence) { f.Begin() }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _ := newFence(1024, 16)
			f.InvalidateTags("1", "2", "3")
			f.Clear() // what came before the entry does not count
			sequence, tags := f.Sequence(), []uint64{f.Hash("1"), f.Hash("2")}
			test.event(f)
			if got := f.Good(sequence, tags...); got != test.good {
				t.Errorf("Good = %t, want %t", got, test.good)
			}
			if got := f.Untouched(sequence); got != test.clean {
				t.Errorf("Untouched = %t, want %t", got, test.clean)
			}
			if now := f.Sequence(); !f.Good(now, tags...) || !f.Untouched(now) {
				t.Error("an entry that is written now is not good")
			}
		})
	}
}

// Tags do not matter to an entry that has none; Clear does.
func TestGoodWithoutTags(t *testing.T) {
	t.Parallel()
	f, _ := newFence(16, 16)
	sequence := f.Sequence()
	for i := range uint64(10_000) { // more than is remembered
		f.Finish(f.Begin(), i)
	}
	if !f.Good(sequence) {
		t.Error("an entry without tags was invalidated by tags")
	}
	f.Clear()
	if f.Good(sequence) {
		t.Error("an entry without tags survived Clear")
	}
}

// Invalidations may finish in another order than they began: the later sequence must stay.
func TestInvalidationsOutOfOrder(t *testing.T) {
	t.Parallel()
	f, _ := newFence(1024, 16)
	const tag, other = 1, 2
	before := f.Sequence()
	first, second := f.Begin(), f.Begin()
	f.Finish(second, tag)
	between := first // an entry that was written between the two
	f.Finish(first, tag, other)
	for _, test := range []struct {
		name     string
		sequence uint64
		tag      uint64
		good     bool
	}{
		{"before both", before, tag, false},
		{"before both, under the other tag", before, other, false},
		{"between", between, tag, false},
		{"between, under the other tag", between, other, true},
		{"after both", second, tag, true},
	} {
		if got := f.Good(test.sequence, test.tag); got != test.good {
			t.Errorf("an entry from %s: Good = %t, want %t", test.name, got, test.good)
		}
	}
	if f.Untouched(between) {
		t.Error("the earlier invalidation, finishing late, lowered what Untouched compares with")
	}
}

var errWrite = errors.New("the write failed")

// Update and Fill return the error of the write. The lease is gone all the same.
func TestFailedWrite(t *testing.T) {
	t.Parallel()
	f, _ := newFence(16, 1024)
	fails := func() error { return errWrite }
	if err := f.Update(1, fails); !errors.Is(err, errWrite) {
		t.Errorf("Update: %v", err)
	}
	sequence, _ := f.Lease(1)
	if stored, err := f.Fill(1, sequence, nil, fails); stored || !errors.Is(err, errWrite) {
		t.Errorf("Fill: stored %t, error %v", stored, err)
	}
	if f.Leases() != 0 {
		t.Error("the lease was kept")
	}
	// A panic in the write must not leave the key locked.
	func() {
		defer func() { _ = recover() }()
		_ = f.Update(1, func() error { panic("write") })
	}()
	if err := f.Update(1, func() error { return nil }); err != nil {
		t.Error(err)
	}
}

// Each extension makes a lease good for another LeaseTTL, as long as it is held, but not beyond the
// bound.
func TestExtend(t *testing.T) {
	t.Parallel()
	f, advance := newFence(16, 16)
	key := f.Hash("k")
	write := func() error { return nil }
	lease := func() uint64 {
		t.Helper()
		sequence, granted := f.Lease(key)
		if !granted {
			t.Fatal("no lease")
		}
		return sequence
	}
	held := lease()
	for passed := leaseTTL / 2; passed <= maxLeaseTTL-leaseTTL; passed += leaseTTL / 2 {
		advance(leaseTTL / 2)
		if !f.Extend(key, held) {
			t.Fatalf("not extended after %v", passed)
		}
		if _, granted := f.Lease(key); granted {
			t.Fatalf("granted to somebody else after %v", passed)
		}
	}
	advance(leaseTTL / 2)
	if f.Extend(key, held) {
		t.Error("extended beyond the bound")
	}
	advance(leaseTTL/2 - 1)
	if stored, err := f.Fill(key, held, nil, write); !stored || err != nil {
		t.Errorf("at the end of its last term: %v, %v", stored, err)
	}
	if f.Extend(key, held) {
		t.Error("a used lease was extended")
	}
	for name, end := range map[string]func(sequence uint64){
		"expired":   func(uint64) { advance(leaseTTL) },
		"released":  func(sequence uint64) { f.Release(key, sequence) },
		"revoked":   func(uint64) { _ = f.Update(key, write) },
		"cleared":   func(uint64) { f.Clear() },
		"succeeded": func(sequence uint64) { f.Release(key, sequence); lease() },
	} {
		held = lease()
		end(held)
		if f.Extend(key, held) {
			t.Errorf("%s: it was extended", name)
		}
		if stored, err := f.Fill(key, held, nil, write); stored || err != nil {
			t.Errorf("%s: then stored %v, %v", name, stored, err)
		}
		f.Clear()
	}
	held = lease()
	f.InvalidateTags("t")
	if !f.Extend(key, held) {
		t.Error("an invalidation of a tag that only Fill names ends no lease")
	}
	if stored, err := f.Fill(key, held, []uint64{f.Hash("t")}, write); stored || err != nil {
		t.Errorf("what was invalidated before the extension: stored %v, %v", stored, err)
	}
}
