package flight

import (
	"context"
	"slices"
	"time"

	"github.com/fxcache/fxcache/internal/chain"
	"github.com/fxcache/fxcache/internal/panics"
)

// Batch is flights that are run together, with one load, because one caller wants all their keys.
// Others may join each of them. Its load is cancelled when nobody waits for any of them.
type Batch[T any] struct {
	group   *Group[T]
	many    *manyCall[T] // its owner
	flights []*Flight[T] // nil for a flight that is run alone
	// Unread: its owner has not read the entries before. It belongs to RunMany.
	Unread bool

	life   context.Context // of the process
	cancel context.CancelFunc

	// Guarded by Group.mu.
	waiting int // the sum of that of the flights that are not finished
}

// manyCall is a caller that wants many keys. It is one caller for each of them.
type manyCall[T any] struct {
	ctx      context.Context
	load     func(ctx context.Context, names []string) (map[string]T, error)
	results  chan []result[T] // buffered: delivering never blocks
	notFound error
}

// loadOne is the load of one key.
func (m *manyCall[T]) loadOne(ctx context.Context, name string) (T, error) {
	values, err := m.load(ctx, []string{name})
	value, found := values[name]
	if err == nil && !found {
		err = m.notFound
	}
	return value, err
}

// departure is a flight that is about to start for callers, of which there is at least one.
type departure[T any] struct {
	key      string
	unleased bool
	callers  []*caller[T]
}

// depart starts flights. Those that one caller owns are a batch. unread is its Unread. mu must be
// held.
func (g *Group[T]) depart(next []departure[T], unread bool) {
	for len(next) > 0 {
		many := next[0].callers[0].many
		if many == nil || len(next) == 1 {
			g.start(next[0])
			next = next[1:]
			continue
		}
		b, all := &Batch[T]{group: g, many: many, Unread: unread}, make([]Flight[T], len(next))
		b.flights = make([]*Flight[T], 0, len(next))
		next = slices.DeleteFunc(next, func(d departure[T]) bool {
			if d.callers[0].many != many {
				return false
			}
			f := &all[len(b.flights)]
			f.depart(d)
			f.batch = b
			b.flights = append(b.flights, f)
			b.waiting += f.waiting
			return true
		})
		g.begin(many.ctx, b, func(ctx context.Context) { g.runMany(ctx, b) }, b.flights...)
	}
}

// runMany runs a batch, and finishes every flight of it, whatever happens on the way.
func (g *Group[T]) runMany(ctx context.Context, b *Batch[T]) {
	defer func() {
		var rest []Settled[T]
		g.mu.Lock()
		for _, f := range b.flights {
			if !f.finished {
				rest = append(rest, Settled[T]{Flight: f, Err: panics.ErrEnded}) // the loader ended the goroutine
			}
		}
		g.mu.Unlock()
		b.Finish(ctx, rest)
	}()
	g.options.RunMany(ctx, b)
}

// Flights are all flights of the batch.
func (b *Batch[T]) Flights() []*Flight[T] { return b.flights }

// Admit is Group.Admit for some of the flights.
func (b *Batch[T]) Admit(flights []*Flight[T]) {
	b.group.mu.Lock()
	defer b.group.mu.Unlock()
	for _, f := range flights {
		f.admitted, f.late = append(f.admitted, f.late...), nil
	}
}

// Begin is Group.Begin for some of the flights. If the owner of the batch has left, it returns the
// error of the owner's context: finished with that, the flights go on with the loads of others.
func (b *Batch[T]) Begin(flights []*Flight[T]) error {
	b.Admit(flights)
	return b.many.ctx.Err()
}

// Detach is Group.Detach for some of the flights.
func (b *Batch[T]) Detach(flights []*Flight[T]) {
	b.group.mu.Lock()
	defer b.group.mu.Unlock()
	for _, f := range flights {
		b.group.detach(f)
	}
}

// Finish ends some of the flights.
func (b *Batch[T]) Finish(ctx context.Context, settled []Settled[T]) {
	if len(settled) > 0 {
		b.group.finish(ctx, settled)
	}
}

// Load runs the load of the batch's owner.
func (b *Batch[T]) Load(ctx context.Context, names []string) (map[string]T, error) {
	return b.many.load(ctx, names)
}

// Owner is the context of the caller whose load runs.
func (b *Batch[T]) Owner() context.Context { return b.many.ctx }

// Name is what the owner of a batch calls the key of a flight of it.
func (f *Flight[T]) Name() string { return f.owner.name }

// Wanted is one of the keys that a caller of DoMany wants.
type Wanted struct {
	Key      string
	Name     string // for the load
	Unleased bool
}

// Outcome is what DoMany returns for one key.
type Outcome[T any] struct {
	Value T
	Err   error
}

// DoMany is Do for many keys, which differ. It starts one batch for those for which there is no
// flight, and waits until all are settled. The outcome at i belongs to wanted[i]. A key that load
// leaves out has the error Options.NotFound.
//
// With unread, the caller has not read the entries, which are at least two, and waits for no flight
// that there is already: what it wants may be stored. DoMany then does nothing, and returns nil.
func (g *Group[T]) DoMany(ctx context.Context, wanted []Wanted, load func(context.Context, []string) (map[string]T, error), patience time.Duration, unread bool) []Outcome[T] {
	outcomes := make([]Outcome[T], len(wanted))
	callers := make([]caller[T], len(wanted))
	settled := make([]bool, len(wanted))
	many := &manyCall[T]{ctx: ctx, load: load, results: make(chan []result[T], len(wanted)), notFound: g.options.NotFound}
	for i, w := range wanted {
		callers[i] = caller[T]{ctx: ctx, many: many, index: i, name: w.Name}
	}
	within := chain.From(ctx)
	joined, ok := g.joinMany(wanted, callers, within != nil, unread)
	if !ok {
		return nil
	}
	for range joined {
		g.options.Joined()
	}
	if joined == 0 {
		within = nil // its own load runs
	}
	over, stop := within.Patience(patience)
	defer stop()
	for left := len(wanted); left > 0; {
		select {
		case some := <-many.results:
			for _, r := range some {
				o := &outcomes[r.index]
				o.Value, o.Err = g.take(r)
				settled[r.index] = true
			}
			left -= len(some)
		case <-over:
			for i := range callers {
				if !settled[i] && g.leave(&callers[i], true) {
					outcomes[i].Err = ErrPatience
					settled[i] = true
					left--
				}
			}
			over = nil // its own load runs for the others
		case <-ctx.Done():
			for i := range callers {
				if !settled[i] {
					g.leave(&callers[i], false)
					outcomes[i].Err = ctx.Err()
				}
			}
			return outcomes
		}
	}
	return outcomes
}

// joinMany joins the flights that there are, and starts a batch for the other keys. It returns how
// many flights were joined. With unread, it does nothing and returns false if there are any.
func (g *Group[T]) joinMany(wanted []Wanted, callers []caller[T], nested, unread bool) (joined int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if unread && slices.ContainsFunc(wanted, func(w Wanted) bool { return g.byKey[w.Key] != nil }) {
		return 0, false
	}
	next, own := make([]departure[T], 0, len(wanted)), make([]*caller[T], len(wanted))
	for i, w := range wanted {
		if own[i] = &callers[i]; g.tryJoin(own[i], w.Key, nested) {
			joined++
		} else {
			next = append(next, departure[T]{w.Key, w.Unleased, own[i : i+1 : i+1]})
		}
	}
	g.depart(next, unread)
	return joined, true
}
