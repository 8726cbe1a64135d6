// Package flight shares loads: all callers that want the same key at the same time wait for one
// load, the flight.
//
// One rule makes that safe beside invalidations. A caller may be given what was read after it came.
// It may also be given what was stored under a lease after it came, because nothing was invalidated
// until then. Any other caller is carried over to a next flight. So nobody who comes after an
// invalidation sees what was read before it.
//
// The package knows no policy, no lease and no storage: Options.Run loads, and says which callers
// may have the result.
package flight

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache/internal/memo"
	"github.com/fxcache/fxcache/cache/internal/task"
	"github.com/fxcache/fxcache/internal/chain"
	"github.com/fxcache/fxcache/internal/panics"
)

// Sharing says which callers may have the result of a flight.
type Sharing int

// Those who may have the result.
const (
	// Admitted: the callers that were admitted, see Group.Admit.
	Admitted Sharing = iota
	// Everybody: also the callers that came later.
	Everybody
)

var (
	// ErrLoadAlone goes to callers that cannot be given a copy, because the value does not encode.
	ErrLoadAlone = errors.New("cache: load alone")
	// ErrPatience goes to a caller that has waited long enough for the load of somebody else.
	ErrPatience = errors.New("cache: waited long enough")
)

// Options say what a Group works with. All fields are required.
type Options[T any] struct {
	// Start runs a flight in the background, as task.Group.Start does.
	Start func(parent context.Context, work func(context.Context)) (life context.Context, cancel context.CancelFunc, ok bool)
	// Stopped goes to callers if Start starts nothing.
	Stopped error
	// Joined is called for each caller that joins a flight.
	Joined func()
	// Run loads the value of a flight. It calls Admit before each read, and Begin before the load.
	Run func(ctx context.Context, f *Flight[T]) (T, Sharing, error)
	// RunMany does the same for the flights of a batch, which it finishes one by one or together.
	RunMany func(ctx context.Context, b *Batch[T])
	// Encode and Decode make the copies that all callers but one receive.
	Encode func(value T) ([]byte, error)
	Decode func(encoded []byte) (T, error)
	// NotFound is the error of a load that found nothing. It is shared like a value.
	NotFound error
}

// Group holds the flights of one cache. It is safe for concurrent use.
type Group[T any] struct {
	options Options[T]

	mu    sync.Mutex
	byKey map[string]*Flight[T]
}

// New returns a Group without flights.
func New[T any](options Options[T]) *Group[T] {
	return &Group[T]{options: options, byKey: make(map[string]*Flight[T])}
}

// Flight loads one key for everybody who waits for it.
type Flight[T any] struct {
	Key string
	// Unleased: the storage has failed, so that nothing will be stored. The next flight inherits
	// it. It belongs to Run.
	Unleased bool

	// owner is the caller whose loader runs: the first one, or, if that has left, one that is still
	// waiting when the load begins.
	owner *caller[T]
	batch *Batch[T] // what it is run in
	alone Batch[T]  // that, for a flight that is run alone

	// Guarded by Group.mu.
	admitted []*caller[T] // came before the latest read of the flight began
	late     []*caller[T] // came after
	waiting  int          // how many of admitted and late have not left
	finished bool
}

type caller[T any] struct {
	ctx    context.Context
	load   func(context.Context) (T, error)
	many   *manyCall[T]   // what it is part of, with load and result; nil: the caller wants one key
	index  int            // of the key, in that call
	name   string         // of the key, for the load of many
	result chan result[T] // buffered: delivering never blocks
	// nested: the caller is within another load or write, and joined a flight.
	nested bool

	// Guarded by Group.mu.
	flight *Flight[T]
	left   bool
}

// result is what a caller gets. All callers but one get the value encoded, and decode a copy of
// their own.
type result[T any] struct {
	index   int // of the caller
	value   T
	encoded []byte
	err     error
}

// Load runs the loader of the owner.
func (f *Flight[T]) Load(ctx context.Context) (T, error) {
	if f.owner.many != nil {
		return f.owner.many.loadOne(ctx, f.owner.name)
	}
	return f.owner.load(ctx)
}

// Nested reports whether the owner is within another load or write, and has waited.
func (f *Flight[T]) Nested() bool { return f.owner.nested }

// Do waits for the flight of key. If there is none, it starts one with load. A caller within
// another load or write waits no longer than patience for the load of somebody else, because that
// load may be waiting for this caller. The error is then ErrPatience. If ctx ends first, the error
// is that of ctx.
func (g *Group[T]) Do(ctx context.Context, key string, load func(context.Context) (T, error), unleased bool, patience time.Duration) (value T, err error) {
	c := &caller[T]{ctx: ctx, load: load, result: make(chan result[T], 1)}
	within := chain.From(ctx)
	if g.join(c, key, unleased, within != nil) {
		g.options.Joined()
	} else {
		within = nil // its own load runs
	}
	over, stop := within.Patience(patience)
	defer stop()
	for {
		select {
		case r := <-c.result:
			return g.take(r)
		case <-over:
			if g.leave(c, true) {
				return value, ErrPatience
			}
			over = nil // its own load runs
		case <-ctx.Done():
			g.leave(c, false)
			return value, ctx.Err()
		}
	}
}

// take returns what a caller gets.
func (g *Group[T]) take(r result[T]) (T, error) {
	if r.encoded == nil {
		return r.value, r.err
	}
	value, err := g.options.Decode(r.encoded)
	if err != nil { // the value does not survive its own codec
		err = ErrLoadAlone
	}
	return value, err
}

// join adds a caller to the flight of key, or starts one. It reports whether there was one.
func (g *Group[T]) join(c *caller[T], key string, unleased, nested bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tryJoin(c, key, nested) {
		return true
	}
	g.start(departure[T]{key, unleased, []*caller[T]{c}})
	return false
}

// tryJoin adds a caller to the flight of key, if there is one. mu must be held.
func (g *Group[T]) tryJoin(c *caller[T], key string, nested bool) bool {
	f := g.byKey[key]
	if f == nil || f.batch.life.Err() != nil { // or it is left over from before a Stop
		return false
	}
	f.late = append(f.late, c)
	f.waiting++
	f.batch.waiting++
	c.flight, c.nested = f, nested
	return true
}

// start starts a flight. mu must be held.
func (g *Group[T]) start(d departure[T]) {
	f := new(Flight[T])
	f.depart(d)
	f.batch = &f.alone
	f.alone.waiting = f.waiting
	g.begin(f.owner.ctx, f.batch, func(ctx context.Context) { g.run(ctx, f) }, f)
}

// depart makes f the flight of what is about to start.
func (f *Flight[T]) depart(d departure[T]) {
	f.Key, f.Unleased = d.key, d.unleased
	f.owner, f.admitted, f.waiting = d.callers[0], d.callers, len(d.callers)
	for _, c := range d.callers {
		c.flight = f
	}
}

// begin runs flights in a goroutine of their own. mu must be held.
func (g *Group[T]) begin(owner context.Context, b *Batch[T], run func(context.Context), flights ...*Flight[T]) {
	life, cancel, ok := g.options.Start(memo.OutsideScope(owner), run)
	b.life, b.cancel = life, cancel
	for _, f := range flights {
		if ok {
			g.byKey[f.Key] = f
			continue
		}
		f.finished = true
		for _, c := range f.admitted {
			if r := (result[T]{index: c.index, err: g.options.Stopped}); c.many != nil {
				c.many.results <- []result[T]{r}
			} else {
				c.result <- r
			}
		}
	}
}

// leave removes a caller. If it was the last one, the load is cancelled and the flight detached,
// because nobody may join a cancelled flight. With impatient, leave does nothing and reports false
// if the load is the caller's own.
func (g *Group[T]) leave(c *caller[T], impatient bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := c.flight
	if impatient && f.owner == c {
		return false
	}
	if f.finished { // its result comes
		return !impatient
	}
	c.left = true
	f.waiting--
	f.batch.waiting--
	g.cancelUnwanted(f)
	return true
}

// cancelUnwanted cancels the load of a flight if nobody waits for it, or for another flight of its
// batch, and detaches those flights. mu must be held.
func (g *Group[T]) cancelUnwanted(f *Flight[T]) {
	b := f.batch
	if b.waiting > 0 || b.cancel == nil {
		return
	}
	b.cancel()
	g.detach(f)
	for _, f := range b.flights {
		g.detach(f)
	}
}

// Detach ends the joining of a flight: a caller that comes later starts another one.
func (g *Group[T]) Detach(f *Flight[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.detach(f)
}

func (g *Group[T]) detach(f *Flight[T]) {
	if g.byKey[f.Key] == f {
		delete(g.byKey, f.Key)
	}
}

// Admit admits every caller that has joined by now to the result of the flight's next read.
func (g *Group[T]) Admit(f *Flight[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.admitted, f.late = append(f.admitted, f.late...), nil
}

// Begin is Admit for the load itself, and returns the load's context. If the owner has left,
// another caller becomes the owner, because the loader of the first one may depend on a request
// that has ended.
func (g *Group[T]) Begin(ctx context.Context, f *Flight[T]) (context.Context, context.CancelFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.admitted, f.late = append(f.admitted, f.late...), nil
	first := f.owner
	for _, c := range f.admitted {
		if f.owner.ctx.Err() == nil {
			break
		}
		if !c.left && c.ctx.Err() == nil {
			f.owner = c
		}
	}
	if f.owner == first {
		return ctx, func() {}
	}
	return task.ValuesOf(memo.OutsideScope(f.owner.ctx), ctx)
}

// run runs a flight and finishes it, whatever happens on the way.
func (g *Group[T]) run(ctx context.Context, f *Flight[T]) {
	s := Settled[T]{Flight: f, Err: panics.ErrEnded} // if the loader ends the goroutine
	defer func() { g.finish(ctx, []Settled[T]{s}) }()
	s.Value, s.Sharing, s.Err = g.options.Run(ctx, f)
}

// concernsOwner reports whether an error is the owner's alone. That is so if the owner's context
// has ended and the load's has not; if the load's has ended too, nobody waits any more. It is also
// so if the owner's loader was recursive. The others go on without the owner, so this ends.
func (g *Group[T]) concernsOwner(ctx context.Context, f *Flight[T], err error) bool {
	abandoned := err != nil && !errors.Is(err, g.options.NotFound) && f.owner.ctx.Err() != nil && ctx.Err() == nil
	return abandoned || errors.Is(err, chain.ErrRecursiveLoad)
}
