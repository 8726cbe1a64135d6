package revocation

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// ErrPending says that a revocation is not applied yet.
var ErrPending = errors.New("cache: the revocation is not applied yet")

// Revocation is cache.Revocation.
type Revocation struct {
	Key, Tag string // if both are empty, everything
	Storage  string
	Until    time.Time
}

// target is what is revoked, in whichever storage and for however long.
func (r Revocation) target() Revocation { return Revocation{Key: r.Key, Tag: r.Tag} }

// Options say what a Queue works with. All fields are required.
type Options struct {
	// Limit is how many revocations are kept one by one. If there are more, a single revocation of
	// everything replaces them.
	Limit int
	// Longest is how long an entry can live that is stored or being loaded now.
	Longest time.Duration
	// Patience bounds an attempt of a reader.
	Patience time.Duration
	// Clock is "now" for the time after which a revocation no longer matters.
	Clock driver.Clock
	// Storage is the one that the revocations are for.
	Storage Storage
	// Apply revokes, in one call of the strategy. The revocations are all of keys, all of tags, or
	// the one of everything.
	Apply func(ctx context.Context, revocations []Revocation) error
	// Refused says that an error of Apply means that the strategy cannot do it at all.
	Refused func(err error) bool
	// Start runs work in the background until the process stops. It reports false after that.
	Start func(work func(ctx context.Context)) bool
	// Warn logs.
	Warn func(ctx context.Context, message string, err error)
}

// Queue holds the pending revocations of one storage. It is safe for concurrent use.
type Queue struct {
	options Options
	limits  limits // those of options at first

	pending    atomic.Int64  // how many; every read looks at it
	calls      atomic.Uint64 // of NewCall
	generation atomic.Uint64

	mu sync.Mutex
	// items are the pending revocations. One that is added again while it is being applied stays.
	items    map[Revocation]item
	retrying bool
	closed   bool // by Close
	outbox   Outbox
	applied  []Revocation // rows that the outbox has to forget

	// writing is held by the one goroutine that changes the outbox. If a revocation is added again,
	// its Add must come after the Remove. applying is held by the one that applies. Both are
	// channels and not mutexes, because they are held during I/O, and waiting for them must end
	// with a context.
	writing  chan struct{}
	applying chan struct{}
}

// item is a pending revocation.
type item struct {
	call  uint64       // the last call that asked for it
	until time.Time    // no entry that it concerns can live longer
	rows  []Revocation // that the outbox has for it
}

// limits are what Configure changes. mu guards them.
type limits struct {
	limit             int
	longest, patience time.Duration
}

// New returns an empty Queue.
func New(options Options) *Queue {
	return &Queue{options: options, limits: limits{options.Limit, options.Longest, options.Patience}, writing: make(chan struct{}, 1), applying: make(chan struct{}, 1)}
}

// Call is the number of a Delete, InvalidateTags or Clear.
type Call uint64

// NewCall numbers a call, before it is tried.
func (q *Queue) NewCall() Call { return Call(q.calls.Add(1)) }

// Generation changes with each revocation that is added. A loader that began in an earlier
// generation must not store: the storage does not know yet that it has to refuse.
func (q *Queue) Generation() uint64 { return q.generation.Load() }

// Add takes revocations in that could not be applied. Entries that they concern live for no longer
// than bound, as far as this process knows. Add returns when the last such entry will have expired,
// and an error if the outbox cannot keep them.
func (q *Queue) Add(ctx context.Context, call Call, revocations []Revocation, bound time.Duration) (until time.Time, err error) {
	q.mu.Lock()
	// They are pending for as long as any entry may live, because another process may give its
	// entries more time than this one's policy.
	now := q.options.Clock.Now()
	if q.closed {
		q.mu.Unlock()
		return now, nil
	}
	kept, until, covered := q.keep(uint64(call), revocations, now.Add(q.limits.longest))
	if until.IsZero() {
		until = now.Add(bound)
	}
	q.generation.Add(1)
	q.mu.Unlock()
	q.Resume()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attempt)
	defer cancel()
	return until, q.writeOutbox(ctx, kept, covered)
}

// keep puts revocations into the queue, until end. If the queue is then too long, a single
// revocation of everything replaces all. In that case until is when that one ends, and covered are
// the outbox rows of the replaced ones. kept is what the outbox has to keep for revocations.
// Callers hold mu.
func (q *Queue) keep(call uint64, revocations []Revocation, end time.Time) (kept []Revocation, until time.Time, covered []Revocation) {
	if q.items == nil {
		q.items = make(map[Revocation]item)
	}
	for _, r := range revocations {
		// A call that came later may have failed earlier.
		q.items[r] = q.items[r].merge(item{call: call, until: end})
	}
	if len(q.items) > q.limits.limit {
		all := item{call: call, until: q.options.Clock.Now().Add(q.limits.longest)}
		for r, old := range q.items {
			if r != (Revocation{}) {
				covered = append(covered, q.options.Storage.own(old.rows)...)
				old.rows = nil
			}
			all = all.merge(old)
		}
		clear(q.items)
		revocations, until = []Revocation{{}}, all.until
		q.items[Revocation{}] = all
	}
	q.pending.Store(int64(len(q.items)))
	return revocations, until, covered
}

func (i item) merge(other item) item {
	i.call = max(i.call, other.call)
	if other.until.After(i.until) {
		i.until = other.until
	}
	for _, row := range other.rows {
		if !slices.Contains(i.rows, row) {
			i.rows = append(i.rows, row)
		}
	}
	return i
}

// Applied takes out what a call, or an earlier one, asked for: the storage has it. It costs nothing
// while the queue is empty.
func (q *Queue) Applied(call Call, revocations func() []Revocation) {
	if q.Len() > 0 {
		q.remove(uint64(call), revocations(), false)
		q.Resume() // for the outbox
	}
}

// remove takes out what the call with that number, or an earlier one, asked for. The outbox forgets
// the rows of this storage, or all rows if the revocations have expired.
func (q *Queue) remove(call uint64, revocations []Revocation, expired bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range revocations {
		if i, ok := q.items[r]; ok && i.call <= call {
			delete(q.items, r)
			if !expired {
				i.rows = q.options.Storage.own(i.rows)
			}
			q.applied = append(q.applied, i.rows...)
		}
	}
	q.pending.Store(int64(len(q.items)))
}

// Adopt takes over what is pending in another queue, for the same storage. It stays in the other
// one too.
func (q *Queue) Adopt(other *Queue) {
	other.mu.Lock()
	items := maps.Clone(other.items)
	outbox, longest := other.outbox, other.limits.longest
	other.mu.Unlock()
	q.mu.Lock()
	q.limits.longest = max(q.limits.longest, longest) // see Configure
	if q.items == nil {
		q.items = make(map[Revocation]item)
	}
	q.outbox = outbox
	for target, i := range items {
		q.items[target] = q.items[target].merge(item{until: i.until, rows: i.rows})
	}
	q.keep(0, nil, time.Time{})
	q.generation.Add(1)
	q.mu.Unlock()
	q.Resume()
}

// Close forgets everything that is pending, but not its rows in the outbox, and takes nothing in
// any more: the storage is not used any more. It returns how many revocations there were.
func (q *Queue) Close() (left int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	left, q.closed = len(q.items), true
	clear(q.items)
	q.applied = nil
	q.pending.Store(0)
	return left
}

// Configure changes the limits. longest never becomes shorter: what was stored before lives for as
// long as it was given.
func (q *Queue) Configure(limit int, longest, patience time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limits = limits{limit, max(q.limits.longest, longest), patience}
}
