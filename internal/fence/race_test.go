package fence_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/fence"
)

// slot is where a strategy would keep the one entry of a key.
type slot struct{ entry atomic.Pointer[version] }

type version struct {
	sequence uint64
	number   int64
}

// Writers commit a version, invalidate, and only then publish its number. A reader that starts
// after that must not be served an older version, neither from the slot nor through a Fill by a
// loader that was held up.
func TestHeldLoaders(t *testing.T) {
	t.Parallel()
	const key, static, learned = 1, 21, 22
	var noise atomic.Uint64
	for name, test := range map[string]struct {
		maxTags int
		revoke  func(f *fence.Fence, s *slot)
	}{
		"by a tag": {1 << 16, func(f *fence.Fence, _ *slot) { f.Finish(f.Begin(), static) }},
		"by a learned tag, which is forgotten": {16, func(f *fence.Fence, _ *slot) {
			f.Finish(f.Begin(), learned)
			f.Finish(f.Begin(), learned+16*noise.Add(1))
		}},
		"by Clear": {16, func(f *fence.Fence, _ *slot) { f.Clear() }},
		"by Delete": {16, func(f *fence.Fence, s *slot) {
			_ = f.Update(key, func() error { s.entry.Store(nil); return nil })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fence.New(fence.Options{MaxTags: test.maxTags, MaxLeases: 1 << 16, LeaseTTL: time.Hour, MaxLeaseTTL: time.Hour, Now: time.Now})
			var s slot
			var database, published, reads, fills, hits atomic.Int64
			var writers, readers sync.WaitGroup
			var done atomic.Bool
			for range 2 {
				writers.Go(func() {
					for i := range int64(4000) {
						number := database.Add(1)
						test.revoke(f, &s)
						for old := published.Load(); old < number && !published.CompareAndSwap(old, number); {
							old = published.Load()
						}
						// Now at once, now when there was time to fill and to hit.
						for wait := reads.Load() + i%8; reads.Load() < wait && !done.Load(); {
							runtime.Gosched()
						}
					}
				})
			}
			read := func() {
				least := published.Load()
				if e := s.entry.Load(); e != nil && f.Good(e.sequence, static, learned) {
					if e.number < least {
						t.Errorf("version %d was served after the invalidation of version %d had returned", e.number, least)
						done.Store(true)
					}
					hits.Add(1)
					return
				}
				sequence, ok := f.Lease(key)
				if !ok {
					return
				}
				loaded := database.Load()
				runtime.Gosched()
				_, _ = f.Fill(key, sequence, []uint64{static, learned}, func() error {
					fills.Add(1)
					runtime.Gosched()
					s.entry.Store(&version{sequence, loaded})
					return nil
				})
			}
			for range 3 {
				readers.Go(func() {
					for !done.Load() {
						read()
						reads.Add(1)
						runtime.Gosched()
					}
				})
			}
			writers.Wait()
			done.Store(true)
			readers.Wait()
			if fills.Load() == 0 || hits.Load() == 0 {
				t.Errorf("%d fills and %d hits: the test shows nothing", fills.Load(), hits.Load())
			}
		})
	}
}

// Concurrent invalidations of different tags. Each is in force when its call returns, even if
// earlier ones have not finished.
func TestInvalidationIsInForceOnReturn(t *testing.T) {
	t.Parallel()
	for name, maxTags := range map[string]int{"remembered": 1 << 12, "forgotten": 16} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _ := newFence(maxTags, 1024)
			var work sync.WaitGroup
			for worker := range uint64(8) {
				work.Go(func() {
					for i := range uint64(3000) {
						tag := worker + 8*(i%200)
						sequence := f.Sequence()
						f.Finish(f.Begin(), tag)
						if f.Good(sequence, 1_000_000, tag) {
							t.Errorf("an entry is good after the invalidation of its tag returned")
							return
						}
						if f.Untouched(sequence) {
							t.Errorf("Untouched is true after an invalidation returned")
							return
						}
					}
				})
			}
			work.Wait()
		})
	}
}

// One holder at a time: while a lease is held, no other is granted.
func TestLeaseIsExclusiveUnderRace(t *testing.T) {
	t.Parallel()
	f, _ := newFence(16, 1024)
	var holders, grants atomic.Int64
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 3000 {
				sequence, ok := f.Lease(1)
				if !ok {
					runtime.Gosched()
					continue
				}
				if holders.Add(1) != 1 {
					t.Error("two hold the same lease")
				}
				grants.Add(1)
				runtime.Gosched()
				holders.Add(-1)
				f.Release(1, sequence)
			}
		})
	}
	work.Wait()
	if grants.Load() == 0 {
		t.Error("no lease was ever granted")
	}
}
