package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/failure"
	"github.com/fxcache/fxcache/internal/panics"
)

const (
	// maxOperations is how many goroutines a guarded strategy may hold with reads and writes. It is
	// far above what a healthy storage needs, and their stacks are some 10 MiB.
	maxOperations = 1024
	// maxRevocations is likewise for Delete, InvalidateTags and Clear, which reads that hang must
	// not keep out.
	maxRevocations = 128
)

var (
	// errStuck is returned at once while as many operations as there may be were given up and have
	// not ended.
	errStuck = fmt.Errorf("%w: too many operations do not end although their time is up: the strategy ignores its context", driver.ErrUnavailable)
	// errWriteUnderWay: the effect of a write that was given up may still come.
	errWriteUnderWay = errors.New("cache: an earlier write of the same entry has not ended")
)

// guard runs the operations of a strategy that may ignore its context, each in a goroutine of its
// own, and gives up those whose time is up. It knows which writes are under way, given up or not:
// one that ends late would bring back what was revoked or replaced meanwhile. A Fill of a Leaser is
// refused then, so it is none of them.
type guard struct {
	operations, revocations places

	mu     sync.Mutex
	writes map[string]*write // under way, by key
}

// places bound the goroutines of one kind.
type places struct {
	taken   chan struct{}
	givenUp atomic.Int64 // operations that have not ended
}

// write is a write of one entry that is under way.
type write struct {
	key   string
	tags  []string
	ended chan struct{}
}

func newGuard() *guard {
	return &guard{
		operations:  places{taken: make(chan struct{}, maxOperations)},
		revocations: places{taken: make(chan struct{}, maxRevocations)},
		writes:      make(map[string]*write),
	}
}

// enter takes a place, unless ctx ends before one is free.
func (p *places) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.givenUp.Load() >= int64(cap(p.taken)) {
		return errStuck
	}
	select {
	case p.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", driver.ErrOverloaded, ctx.Err())
	}
}

// operation is one call of the strategy. Its goroutine sets result and err before it closes done.
type operation[R any] struct {
	decided atomic.Bool // whether it is given up, or has ended in time
	done    chan struct{}
	result  R
	err     error
}

// run runs one operation in a goroutine, and gives it up when ctx ends. ended is called once, when
// the operation has ended or was not begun; late says that nobody waits for result any more.
func run[R any](ctx context.Context, p *places, call func() (R, error), ended func(result R, late bool)) (result R, err error) {
	if err := p.enter(ctx); err != nil {
		ended(result, false)
		return result, err
	}
	o := &operation[R]{done: make(chan struct{}), err: panics.ErrEnded}
	go func() {
		defer func() { // also if the strategy ends the goroutine
			late := !o.decided.CompareAndSwap(false, true)
			ended(o.result, late)
			if late {
				p.givenUp.Add(-1)
			}
			<-p.taken
			close(o.done)
		}()
		o.result, o.err = panics.Run(ctx, func(context.Context) (R, error) { return call() })
	}()
	select {
	case <-o.done:
	case <-ctx.Done():
		if o.decided.CompareAndSwap(false, true) {
			p.givenUp.Add(1)
			return result, ctx.Err()
		}
		<-o.done
	}
	return o.result, o.err
}

// begin notes a write. If the same entry is being written, begin waits for that until ctx ends.
func (g *guard) begin(ctx context.Context, key string, tags []string) (*write, error) {
	for {
		w, earlier := g.tryBegin(key, tags)
		if earlier == nil {
			return w, nil
		}
		if err := earlier.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// tryBegin is begin for who does not wait: earlier is another write of the same entry.
func (g *guard) tryBegin(key string, tags []string) (w, earlier *write) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if earlier = g.writes[key]; earlier != nil {
		return nil, earlier
	}
	w = &write{key: key, tags: tags, ended: make(chan struct{})}
	g.writes[key] = w
	return w, nil
}

func (g *guard) end(w *write) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.writes, w.key)
	close(w.ended)
}

func (w *write) wait(ctx context.Context) error {
	select {
	case <-w.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w: %w", driver.ErrUnavailable, errWriteUnderWay, ctx.Err())
	}
}

// write runs a write of one entry.
func (g *guard) write(ctx context.Context, key string, tags []string, call func() error) error {
	w, err := g.begin(ctx, key, tags)
	if err != nil {
		return err
	}
	_, err = run(ctx, &g.operations, func() (struct{}, error) { return struct{}{}, call() }, func(struct{}, bool) { g.end(w) })
	return err
}

// revoke runs a revocation of what writes selects. It is not applied as long as a write that began
// before it is under way. The storage is told all the same, because others may read there.
func (g *guard) revoke(ctx context.Context, writes func() []*write, apply func() error) error {
	attempt := func() error {
		_, err := run(ctx, &g.revocations, func() (struct{}, error) { return struct{}{}, apply() }, func(struct{}, bool) {})
		return err
	}
	earlier := writes()
	err := attempt()
	if len(earlier) == 0 || err != nil && !failure.IsApplied(err) {
		return err
	}
	for _, w := range earlier {
		if err := w.wait(ctx); err != nil {
			return err
		}
	}
	return attempt()
}

// ofKeys returns the writes of keys that are under way.
func (g *guard) ofKeys(keys []string) (writes []*write) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, key := range keys {
		if w := g.writes[key]; w != nil {
			writes = append(writes, w)
		}
	}
	return writes
}

// under returns the writes under way that concerns selects.
func (g *guard) under(concerns func(*write) bool) (writes []*write) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.writes {
		if concerns(w) {
			writes = append(writes, w)
		}
	}
	return writes
}
