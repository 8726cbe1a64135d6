// Package fence orders writes, leases and invalidations within one process, so that what was read
// before an invalidation is never stored, or never served, after it. It holds no values: package
// strategies/bigcache puts its entries behind a Fence, and package cache the fills of strategies
// that have no leases of their own.
//
// One counter gives every lease and invalidation its sequence number. An entry carries the sequence
// at which the read that produced it began; it is good as long as nothing that concerns it has a
// higher one. Invalidating costs the same however many entries are concerned, and all memory is
// bounded: forgetting can only make entries unreadable, never readable.
package fence

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// stripeCount is how many locks guard the keys: enough that two writers seldom meet.
const stripeCount = 256

// Options bound a Fence. All fields are required.
type Options struct {
	// MaxTags is how many invalidated tags are remembered exactly. When there are more, entries
	// that carry tags and are older than the forgotten ones count as invalidated.
	MaxTags int
	// MaxLeases is how many leases may be out; beyond it, another one is revoked.
	MaxLeases int
	// LeaseTTL is how long a lease is good that is not extended, and MaxLeaseTTL how long one may
	// be good in all.
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
	// When it was granted, and expires: since the Fence was made, which takes a third of two
	// time.Times.
	granted, expires time.Duration
}

// New returns an empty Fence.
func New(options Options) *Fence {
	f := &Fence{options: options, made: options.Now(), seed: maphash.MakeSeed()}
	f.tags.init(options.MaxTags)
	return f
}

// Hash returns the number under which the Fence knows a key or tag. The seed is random, so nobody
// outside can make two names collide on purpose.
func (f *Fence) Hash(name string) uint64 { return maphash.String(f.seed, name) }

// Sequence is what an entry that is written now, unconditionally, carries.
func (f *Fence) Sequence() uint64 { return f.sequence.Load() }

// Untouched reports that nothing at all was invalidated since sequence: an entry is good whatever
// its tags are.
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

// InvalidateTags makes every entry with any of tags, up to now, no longer good.
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

// Clear makes every entry, up to now, no longer good, and revokes every lease.
func (f *Fence) Clear() {
	sequence := f.sequence.Add(1)
	raise(&f.cleared, sequence)
	raise(&f.invalidated, sequence)
}

// Lease grants the exclusive right to fill key, unless somebody holds it.
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

// Extend makes a lease that is still held, and not too old, good for another LeaseTTL from now.
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

// Release gives a lease up, if it is still held.
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

// Fill runs write when the lease of that sequence is still held and nothing with tags was
// invalidated since; the lease is given up in any case.
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

// later is the sum of the two, or the end of time.
func later(now, d time.Duration) time.Duration { return now + min(d, math.MaxInt64-max(0, now)) }

func (f *Fence) live(l lease, now time.Duration) bool {
	return now < l.expires && l.sequence > f.cleared.Load()
}

// evict makes room for one lease: every dead one goes, or else any one.
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

// raise sets a to at least sequence: invalidations may finish in another order than they began.
func raise(a *atomic.Uint64, sequence uint64) {
	for {
		old := a.Load()
		if old >= sequence || a.CompareAndSwap(old, sequence) {
			return
		}
	}
}
