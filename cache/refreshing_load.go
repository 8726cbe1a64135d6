package cache

import (
	"context"
	"errors"
	"log/slog"
)

// refresh is one load. Its fields are guarded by mu of Refreshing until done is closed.
type refresh[T any] struct {
	ctx     context.Context                  // of the caller who began it, whose values it has
	load    func(context.Context) (T, error) // that caller's own; nil: that of the Refreshing
	cancel  context.CancelFunc
	waiting int
	// void: nobody may be given its result, because Invalidate came since it began, or everybody left, or it
	// failed for the caller who began it alone.
	void bool
	done chan struct{}
	read *reading[T]
	err  error
}

// board returns the load that a caller is to wait for, and begins it where none runs. With forced, it
// is one that has not begun yet. It may be void: then the caller comes back when it has ended. Callers
// hold mu.
func (r *Refreshing[T]) board(ctx context.Context, load func(context.Context) (T, error), forced bool) *refresh[T] {
	f := r.running
	if f == nil || forced {
		if f = r.next; f == nil {
			f = &refresh[T]{ctx: ctx, load: load, done: make(chan struct{})}
			if r.running == nil {
				r.begin(f)
			} else {
				r.next = f
			}
		}
	}
	f.waiting++
	return f
}

// begin starts a load. Callers hold mu.
func (r *Refreshing[T]) begin(f *refresh[T]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(outsideScope(f.ctx)), r.options.Timeout)
	f.cancel, r.running = cancel, f
	go func() {
		defer cancel()
		read := &reading[T]{
			began:   r.options.Clock.Now(),
			derived: &memos{limit: r.options.MaxDerived, evict: true},
		}
		err := error(&PanicError{}) // stands where load ends the goroutine
		defer func() { r.land(ctx, f, read, err) }()
		load := f.load
		if load == nil {
			load = r.load
		}
		read.value, err = protect(ctx, load)
	}()
}

// left reports whether a load failed because the context of the caller who began it has ended, which
// says nothing to the others. A load of the caller's own may fail for that in any way, that of the Refreshing
// only by what it has from the context's values.
func (f *refresh[T]) left(ctx context.Context, err error) bool {
	return err != nil && f.ctx.Err() != nil && ctx.Err() == nil && (f.load != nil || errors.Is(err, context.Canceled))
}

// land ends a load, and begins the next one where somebody waits for it.
func (r *Refreshing[T]) land(ctx context.Context, f *refresh[T], read *reading[T], err error) {
	r.mu.Lock()
	f.void = f.void || f.left(ctx, err)
	void := f.void
	switch {
	case void:
	case err == nil:
		f.read = read
		r.latest.Store(read)
		r.failures, r.err = 0, nil
	default:
		f.err, r.err = err, err
		r.failures++
		r.failed = r.options.Clock.Now()
		if last := r.latest.Load(); last != nil {
			known := *last
			known.outdated = true
			r.latest.Store(&known)
		}
	}
	pause := r.backoff()
	r.running = nil
	if next := r.next; next != nil {
		r.next = nil
		r.begin(next)
	}
	close(f.done)
	r.mu.Unlock()
	if err != nil && !void {
		r.options.Logger.WarnContext(ctx, "cache: a refreshing value could not be loaded",
			slog.String("name", r.options.Name), slog.Duration("retry_in", pause), slog.Any("error", err))
	}
}

// landed waits until f has ended, and reports false where the caller's context ended first. The last
// caller who leaves takes the load along.
func (r *Refreshing[T]) landed(ctx context.Context, f *refresh[T]) bool {
	select {
	case <-f.done:
		return true
	case <-ctx.Done():
	}
	r.mu.Lock()
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
