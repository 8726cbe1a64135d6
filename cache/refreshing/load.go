package refreshing

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/internal/memo"
	"github.com/fxcache/fxcache/internal/chain"
	"github.com/fxcache/fxcache/internal/panics"
)

// refresh is one load. Until done is closed, Value.mu guards its fields.
type refresh[T any] struct {
	// of the caller that started it; the load has its values
	ctx     context.Context
	load    func(context.Context) (T, error) // nil: the Value's own
	cancel  context.CancelFunc
	waiting int
	// void: nobody may have the result. Invalidate was called since the load began, or every caller
	// has left, or the load failed for a reason that concerns only the caller that started it.
	void bool
	done chan struct{}
	read *reading[T]
	err  error
}

// join returns the load that a caller has to wait for, and starts one if none is running. With
// forced, it is a load that has not begun yet. The load may be void; the caller then joins again
// after it has ended. own reports whether the load has this caller's context. Callers hold mu.
func (r *Value[T]) join(ctx context.Context, load func(context.Context) (T, error), forced bool) (f *refresh[T], own bool) {
	f = r.running
	if f == nil || forced {
		if f = r.next; f == nil {
			f, own = &refresh[T]{ctx: ctx, load: load, done: make(chan struct{})}, true
			if r.running == nil {
				r.start(f)
			} else {
				r.next = f
			}
		}
	}
	f.waiting++
	return f, own
}

// start starts a load in the background. Callers hold mu.
func (r *Value[T]) start(f *refresh[T]) {
	last := r.latest.Load()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(memo.OutsideScope(f.ctx)), r.options.Timeout)
	f.cancel, r.running = cancel, f
	go func() {
		defer cancel()
		hung := time.AfterFunc(chain.HungAfter, func() {
			r.options.Logger.WarnContext(ctx, "cache: the load of a refreshing value does not end, and who needs the value waits for it",
				slog.String("name", r.options.Name), slog.Any("error", chain.ErrHung))
		})
		defer hung.Stop()
		read := r.reading()
		err := panics.ErrEnded // stays if load ends the goroutine
		defer func() { r.finish(ctx, f, read, err) }()
		read.value, err = r.run(ctx, chain.Load, f.load, last)
	}()
}

// reading returns an empty reading that begins now.
func (r *Value[T]) reading() *reading[T] {
	return &reading[T]{
		began:   r.options.Clock.Now(),
		derived: &memo.Table{Limit: r.options.MaxDerived, Evict: true},
	}
}

// previous is the value that a load would replace, for cache.Previous.
type previous[T any] struct {
	value T
	given atomic.Bool // to the loader
}

func (p *previous[T]) Previous(context.Context) (T, bool) {
	p.given.Store(true)
	return p.value, true
}

// run runs load, or r.load if load is nil. last is what the load would replace, or nil.
func (r *Value[T]) run(ctx context.Context, kind chain.Kind, load func(context.Context) (T, error), last *reading[T]) (T, error) {
	if load == nil {
		load = r.load
	}
	ctx, link := chain.Enter(ctx, kind, r)
	defer link.End()
	var replaced previous[T]
	if last != nil {
		replaced.value = last.value
		link.Carry(&replaced)
	}
	value, err := panics.Run(ctx, load)
	switch {
	case !chain.SaysNotModified(err):
		return value, err
	case replaced.given.Load():
		return last.value, nil
	default:
		return value, chain.Unfounded(err)
	}
}

// alone loads for one caller, with its context, and keeps nothing.
func (r *Value[T]) alone(ctx context.Context, kind chain.Kind, load func(context.Context) (T, error)) (*reading[T], error) {
	ctx, cancel := context.WithTimeout(memo.OutsideScope(ctx), r.options.Timeout)
	defer cancel()
	read := r.reading()
	var err error
	read.value, err = r.run(ctx, kind, load, nil)
	return read, err
}

// forceAlone is alone for RefreshWith. The value that it returns is newer than the one that r has,
// and than one that r may be loading. So r must not serve those any longer.
func (r *Value[T]) forceAlone(ctx context.Context, kind chain.Kind, load func(context.Context) (T, error)) (T, error) {
	read, err := r.alone(ctx, kind, load)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.outdate()
		var zero T
		return zero, err
	}
	r.Invalidate()
	return read.value, nil
}

// outdate makes the next Get load again. Callers hold mu.
func (r *Value[T]) outdate() {
	if last := r.latest.Load(); last != nil {
		known := *last
		known.outdated = true
		r.latest.Store(&known)
	}
}

// abandoned reports whether a load failed because the context of the caller that started it has
// ended. Such a failure does not concern the other callers. A loader of the caller's own may then
// fail with any error. The Value's own loader gets only the values of that context, so with that
// cause it can only report that it was cancelled.
func (f *refresh[T]) abandoned(ctx context.Context, err error) bool {
	return err != nil && f.ctx.Err() != nil && ctx.Err() == nil && (f.load != nil || errors.Is(err, context.Canceled))
}

// finish ends a load, and starts the next one if somebody waits for it.
func (r *Value[T]) finish(ctx context.Context, f *refresh[T], read *reading[T], err error) {
	r.mu.Lock()
	f.void = f.void || f.abandoned(ctx, err)
	void := f.void
	f.read, f.err = read, err
	switch {
	case void:
	case err == nil:
		r.latest.Store(read)
		r.failures, r.err = 0, nil
	default:
		r.err = err
		r.failures++
		r.failed = r.options.Clock.Now()
		r.outdate()
	}
	pause := r.backoff()
	r.running = nil
	if next := r.next; next != nil {
		r.next = nil
		r.start(next)
	}
	close(f.done)
	r.mu.Unlock()
	if err != nil && !void {
		r.options.Logger.WarnContext(ctx, "cache: a refreshing value could not be loaded",
			slog.String("name", r.options.Name), slog.Duration("retry_in", pause), slog.Any("error", err))
	}
}

// maxVoided is how many loads of its own a caller sees invalidated before it takes the result of
// the next one all the same. That result is as new as the call. Without this limit, a load that
// calls Invalidate would run for ever.
const maxVoided = 3

// wait waits until f has ended. It reports false if the caller's context ended first, or if the
// caller has waited long enough for a load that is not its own. When the last caller leaves, the
// load is cancelled.
func (r *Value[T]) wait(ctx context.Context, within *chain.Link, f *refresh[T], own bool) bool {
	over, stop := within.Patience(memo.Patience)
	defer stop()
	gaveUp := false
	select {
	case <-f.done:
		return true
	case <-ctx.Done():
	case <-over:
		gaveUp = true
	}
	r.mu.Lock()
	if gaveUp && own && r.running == f { // its own load has begun meanwhile
		r.mu.Unlock()
		return r.wait(ctx, nil, f, own)
	}
	defer r.mu.Unlock()
	if f.waiting--; f.waiting > 0 {
		return false
	}
	switch f {
	case r.running:
		f.void = true
		f.cancel()
	case r.next:
		r.next = nil
	}
	return false
}
