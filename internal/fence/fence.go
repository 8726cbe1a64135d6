// Package fence orders writes, leases and invalidations within one process. What was read before an
// invalidation is never stored after it, or at least never served. The package holds no values.
// Package strategies/bigcache keeps its entries behind a Fence. Package cache does the same with
// the fills of strategies without leases.
//
// One counter gives every lease and invalidation its sequence number. An entry carries the sequence
// number at which the read that produced it began. The entry is good as long as no invalidation
// that concerns it has a higher number. The cost of an invalidation does not depend on the number
// of entries. All memory is bounded. Forgetting can make entries unreadable, but never readable.
package fence

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// stripeCount is the number of locks that guard the keys. It is high enough that two writers rarely
// need the same lock.
const stripeCount = 256

// Options bound a Fence. All fields are required.
type Options struct {
	// MaxTags is how many invalidated tags are remembered exactly. If there are more, the oldest
	// are forgotten. Tagged entries that are older than a forgotten invalidation then count as
	// invalidated.
	MaxTags int
	// MaxLeases is how many leases may be held. Each lease beyond that revokes another one.
	MaxLeases int
	// LeaseTTL is how long a lease is good unless it is extended. MaxLeaseTTL is the longest total
	// time.
	LeaseTTL, MaxLeaseTTL time.Duration
	// Now is the clock for LeaseTTL.
	Now func() time.Time
}

// Fence is safe for concurrent use. Create it with New.
type Fence struct {
	options Options
	made    time.Time
	seed    maphash.Seed

	sequence    atomic.Uint64 // of the latest lease or invalidation
	_           [56]byte      // every lease writes sequence; every Get reads what follows
	invalidated atomic.Uint64 // of the latest invalidation of any kind: the fast path of Good
	cleared     atomic.Uint64 // of the latest Clear
	tags        tagLog
	stripes     [stripeCount]stripe
}

type stripe struct {
	sync.Mutex
	leases map[uint64]lease // by key hash; a collision revokes or withholds a lease, nothing worse
}

type lease struct {
	sequence uint64
	// When it was granted and when it expires, as durations since the Fence was made. They take a
	// third of the memory of two time.Times.
	granted, expires time.Duration
}

// New returns an empty Fence.
func New(options Options) *Fence {
	f := &Fence{options: options, made: options.Now(), seed: maphash.MakeSeed()}
	f.tags.init(options.MaxTags)
	return f
}

// Hash returns the number under which the Fence knows a key or tag. The hash seed is random, so
// that no client can construct names that collide.
func (f *Fence) Hash(name string) uint64 { return maphash.String(f.seed, name) }

// Sequence returns the number for an entry that is written now, unconditionally.
func (f *Fence) Sequence() uint64 { return f.sequence.Load() }

// Untouched reports whether nothing at all was invalidated since sequence. If so, an entry is good
// whatever its tags are.
func (f *Fence) Untouched(sequence uint64) bool { return f.invalidated.Load() <= sequence }

// Good reports whether an entry of that sequence with those tags is still good.
func (f *Fence) Good(sequence uint64, tags ...uint64) bool {
	if f.Untouched(sequence) {
		return true
	}
	if f.cleared.Load() > sequence {
		return false
	}
	return len(tags) == 0 || f.tags.good(sequence, tags)
}

// InvalidateTags invalidates every existing entry with any of tags.
func (f *Fence) InvalidateTags(tags ...string) {
	if len(tags) == 0 {
		return
	}
	sequence := f.sequence.Add(1)
	for _, tag := range tags {
		f.tags.note(f.Hash(tag), sequence)
	}
	raise(&f.invalidated, sequence)
}

// Clear invalidates every existing entry and revokes every lease.
func (f *Fence) Clear() {
	sequence := f.sequence.Add(1)
	raise(&f.cleared, sequence)
	raise(&f.invalidated, sequence)
}

// Lease grants the exclusive right to fill key, unless another caller holds it.
func (f *Fence) Lease(key uint64) (sequence uint64, granted bool) {
	now := f.now()
	s := f.stripe(key)
	s.Lock()
	defer s.Unlock()
	if held, ok := s.leases[key]; ok && f.live(held, now) {
		return 0, false
	}
	if s.leases == nil {
		s.leases = make(map[uint64]lease)
	}
	if len(s.leases) >= max(1, f.options.MaxLeases/stripeCount) {
		f.evict(s, now)
	}
	sequence = f.sequence.Add(1)
	s.leases[key] = lease{sequence, now, later(now, f.options.LeaseTTL)}
	return sequence, true
}

// Extend makes a lease good for another LeaseTTL from now, if it is still held and not too old.
func (f *Fence) Extend(key, sequence uint64) (held bool) {
	now := f.now()
	s := f.stripe(key)
	s.Lock()
	defer s.Unlock()
	l, ok := s.leases[key]
	expires := later(now, f.options.LeaseTTL)
	if !ok || l.sequence != sequence || !f.live(l, now) || expires > later(l.granted, f.options.MaxLeaseTTL) {
		return false
	}
	s.leases[key] = lease{sequence, l.granted, expires}
	return true
}

// Release gives up a lease if it is still held.
func (f *Fence) Release(key, sequence uint64) {
	s := f.stripe(key)
	s.Lock()
	defer s.Unlock()
	if s.leases[key].sequence == sequence {
		delete(s.leases, key)
	}
}

// Update revokes the lease on key and runs write, with no Fill of the same key in between.
func (f *Fence) Update(key uint64, write func() error) error {
	s := f.stripe(key)
	s.Lock()
	defer s.Unlock()
	delete(s.leases, key)
	return write()
}

// Hold runs write with no Update or Fill of the same key in between. It leaves leases as they are.
func (f *Fence) Hold(key uint64, write func()) {
	s := f.stripe(key)
	s.Lock()
	defer s.Unlock()
	write()
}

// Fill runs write if the lease with that sequence is still held and none of tags was invalidated
// since. It gives up the lease in any case.
func (f *Fence) Fill(key, sequence uint64, tags []uint64, write func() error) (stored bool, err error) {
	s := f.stripe(key)
	s.Lock()
	defer s.Unlock()
	held, ok := s.leases[key]
	if !ok || held.sequence != sequence {
		return false, nil
	}
	delete(s.leases, key)
	if !f.live(held, f.now()) || !f.Good(sequence, tags...) {
		return false, nil
	}
	err = write()
	return err == nil, err
}

func (f *Fence) stripe(key uint64) *stripe { return &f.stripes[key%stripeCount] }

func (f *Fence) now() time.Duration { return f.options.Now().Sub(f.made) }

// later returns the sum, or the greatest duration if the sum overflows.
func later(now, d time.Duration) time.Duration { return now + min(d, math.MaxInt64-max(0, now)) }

func (f *Fence) live(l lease, now time.Duration) bool {
	return now < l.expires && l.sequence > f.cleared.Load()
}

// evict makes room for one lease. It removes all expired ones or, if there are none, any one.
func (f *Fence) evict(s *stripe, now time.Duration) {
	var victim uint64
	before := len(s.leases)
	for key, held := range s.leases {
		victim = key
		if !f.live(held, now) {
			delete(s.leases, key)
		}
	}
	if len(s.leases) == before {
		delete(s.leases, victim)
	}
}

// raise sets a to at least sequence. Invalidations may finish in another order than they began.
func raise(a *atomic.Uint64, sequence uint64) {
	for {
		old := a.Load()
		if old >= sequence || a.CompareAndSwap(old, sequence) {
			return
		}
	}
}
