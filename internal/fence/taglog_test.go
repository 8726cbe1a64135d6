package fence_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// The memory for tags is bounded, whichever tags are invalidated in whichever order.
func TestTagsAreBounded(t *testing.T) {
	t.Parallel()
	const limit, n = 1024, 100_000
	for name, tag := range map[string]func(i uint64) uint64{
		"all different":        func(i uint64) uint64 { return i },
		"all the same":         func(uint64) uint64 { return 7 },
		"the same few":         func(i uint64) uint64 { return i % 100 },
		"one shard's":          func(i uint64) uint64 { return i * 16 },
		"mostly one, and all":  func(i uint64) uint64 { return i % 2 * i },
		"slightly more of all": func(i uint64) uint64 { return i % (limit + limit/8) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _ := newFence(limit, 16)
			for i := range uint64(n) {
				f.Finish(f.Begin(), tag(i))
				if i%97 != 0 && i != n-1 {
					continue
				}
				if remembered, queued := f.TagLog(); remembered > limit || queued > 2*limit {
					t.Fatalf("after %d invalidations %d tags are remembered in a queue of %d, want at most %d and %d",
						i, remembered, queued, limit, 2*limit)
				}
			}
		})
	}
}

// A few tags that are invalidated again and again do not displace others. A raised floor would cost
// every tagged entry.
func TestRepeatedTagsForgetNothing(t *testing.T) {
	t.Parallel()
	f, _ := newFence(1024, 16)
	for i := range uint64(100_000) {
		f.Finish(f.Begin(), i%64)
	}
	if got := f.Floor(); got != 0 {
		t.Errorf("the floor is %d, although 64 of 1024 tags were used", got)
	}
}

// A tag that is invalidated again counts as new. The oldest is forgotten first.
func TestForgetsTheOldest(t *testing.T) {
	t.Parallel()
	const perShard = 4
	f, _ := newFence(16*perShard, 16)
	next := uint64(0)
	tag := func() uint64 { next += 16; return next } // all of one shard
	again, first := tag(), tag()
	f.Finish(f.Begin(), again) // 1
	f.Finish(f.Begin(), first) // 2
	f.Finish(f.Begin(), tag()) // 3
	f.Finish(f.Begin(), again) // 4: no longer the oldest
	young := f.Sequence()
	f.Finish(f.Begin(), tag()) // 5: four tags, all that fit
	if f.Floor() != 0 {
		t.Fatal("forgotten too early")
	}
	f.Finish(f.Begin(), tag()) // 6: one too many
	if got := f.Floor(); got != 2 {
		t.Errorf("the floor is %d, want 2: the oldest is the tag that was invalidated only then", got)
	}
	if f.Good(1, first) {
		t.Error("an entry with the forgotten tag is good")
	}
	if !f.Good(2, first) || !f.Good(young, again) {
		t.Error("entries that were written after their tags' invalidations are not good")
	}
	if f.Good(3, again) {
		t.Error("an entry from before the second invalidation of a tag is good")
	}
}

// Dropping the dead elements of the queue leaves the live ones, in their order.
func TestForgetsTheOldestAfterCompaction(t *testing.T) {
	t.Parallel()
	f, _ := newFence(16*4, 16) // four in each shard, in queues of eight
	for _, tag := range []uint64{16, 32, 48} {
		f.Finish(f.Begin(), tag) // 1, 2, 3
	}
	for range 7 {
		f.Finish(f.Begin(), 48)
	}
	if _, queued := f.TagLog(); queued > 4 {
		t.Fatalf("%d elements are queued: nothing was dropped, the test shows nothing", queued)
	}
	for floor, tag := range []uint64{64, 80, 96} {
		f.Finish(f.Begin(), tag)
		if got := f.Floor(); got != uint64(floor) {
			t.Errorf("the floor is %d after tag %d, want %d: the oldest is forgotten first", got, tag, floor)
		}
	}
}

// An invalidation that finishes after so many others that its own sequence is below the floor.
func TestLateBelowTheFloor(t *testing.T) {
	t.Parallel()
	f, _ := newFence(16, 16)
	before, late := f.Sequence(), f.Begin()
	for tag := range uint64(10_000) {
		f.Finish(f.Begin(), 100+tag)
	}
	f.Finish(late, 7)
	if f.Good(before, 7) {
		t.Error("an entry is good, although the invalidation of its tag has finished")
	}
	if now := f.Sequence(); !f.Good(now, 7) {
		t.Error("an entry that is written now is not good")
	}
}

// Good checks many tags while others are being forgotten. It must read the floor after the last
// look-up. Otherwise it misses a tag that is forgotten in between.
func TestForgettingWhileReading(t *testing.T) {
	t.Parallel()
	const many = 500
	tags := make([]uint64, many)
	for i := range tags {
		tags[i] = uint64(i) * 16
	}
	last := tags[many-1]
	f, _ := newFence(16*8, 16)
	noise := uint64(many * 16)
	for range 100 {
		old := f.Sequence()
		f.Finish(f.Begin(), last)
		var done atomic.Bool
		var work sync.WaitGroup
		work.Go(func() {
			for !done.Load() {
				if f.Good(old, tags...) {
					t.Error("an entry is good, although a tag of it was invalidated before")
					return
				}
			}
		})
		for range 24 {
			noise += 16
			f.Finish(f.Begin(), noise)
			runtime.Gosched()
		}
		done.Store(true)
		work.Wait()
		if t.Failed() {
			return
		}
	}
}
