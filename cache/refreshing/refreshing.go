package refreshing

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/memo"
	"github.com/fxcache/fxcache/internal/absent"
	"github.com/fxcache/fxcache/internal/chain"
)

// Options configure a [Value]. The zero value of each field except TTL means its default. No
// duration may be between zero and a millisecond.
type Options struct {
	// Name is what log messages call the value.
	Name string
	// TTL is how old the value may become. The age counts from the start of the load. Required.
	TTL time.Duration
	// MaxAge is how old the value may become while loads fail. It must be at least TTL. Zero means
	// any age.
	MaxAge time.Duration
	// Timeout limits a load: its context ends after that. Default 10s.
	Timeout time.Duration
	// Backoff is the pause after a load that failed, in which Get starts no other. It doubles with
	// each further failure, up to MaxBackoff. Default 100ms.
	Backoff time.Duration
	// MaxBackoff is the longest pause. Default 10s, or Backoff if that is longer.
	MaxBackoff time.Duration
	// MaxDerived limits the results that Derive keeps. If there are more, any one of them is
	// dropped. Default 1000.
	MaxDerived int
	// Clock tells the current time, for TTL, MaxAge and Backoff. Default driver.SystemClock.
	Clock driver.Clock
	// Logger receives a warning about each load that fails. Default slog.Default().
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Backoff == 0 {
		o.Backoff = 100 * time.Millisecond
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = max(10*time.Second, o.Backoff)
	}
	if o.MaxDerived == 0 {
		o.MaxDerived = 1000
	}
	if absent.Is(o.Clock) {
		o.Clock = driver.SystemClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func (o Options) validate() error {
	var errs []error
	report := func(wrong bool, name, reason string) {
		if wrong {
			errs = append(errs, &driver.OptionError{Name: name, Reason: reason})
		}
	}
	for _, duration := range []struct {
		name  string
		value time.Duration
	}{{"TTL", o.TTL}, {"MaxAge", o.MaxAge}, {"Timeout", o.Timeout}, {"Backoff", o.Backoff}, {"MaxBackoff", o.MaxBackoff}} {
		reason := driver.TooShort(duration.value)
		report(reason != "", duration.name, reason)
	}
	report(o.TTL <= 0, "TTL", "must be positive")
	report(o.MaxAge < 0 || o.MaxAge > 0 && o.MaxAge < o.TTL, "MaxAge", "must be at least TTL, or 0 for any age")
	report(o.Timeout < 0, "Timeout", "must not be negative")
	report(o.Backoff < 0, "Backoff", "must not be negative")
	report(o.MaxBackoff < o.Backoff, "MaxBackoff", "must be at least Backoff")
	report(o.MaxDerived < 0, "MaxDerived", "must not be negative")
	return errors.Join(errs...)
}

// Value is one value that everybody needs (Vendure's SelfRefreshingCache). It is kept in the
// process. It is loaded when it is first asked for, and again when it is older than its TTL. It
// needs no cache and no storage: other processes do not learn of Refresh and Invalidate. All
// methods are safe for concurrent use.
//
// Never more than one load runs at a time. It runs in a goroutine of its own, with the values of
// the context of the caller that began it. All callers wait for the same load. If a caller's
// context ends, the load goes on for the others. If nobody is left, the context of the load is
// cancelled. A load must return when its context ends, because the next one waits for it. A panic
// in it is a [driver.PanicError]. A load that asks for the value that it loads gets
// cache.ErrRecursiveLoad. A caller within another load waits for two seconds at most. With
// cache.ReadThrough a caller does not wait at all. Its load runs at the same time as the others,
// and its result is not kept.
//
// A load may ask cache.Previous for the last value, and return cache.ErrNotModified if that is
// still right. Its age then counts from the start of this load.
//
// Everybody gets the same value, not a copy: treat what it points to as read-only.
type Value[T any] struct {
	options Options
	load    func(context.Context) (T, error)

	// latest is the last good value, or nil. It is written under mu.
	latest atomic.Pointer[reading[T]]

	mu       sync.Mutex
	failed   time.Time // when the last load failed
	failures int       // in a row
	err      error     // of the last one
	running  *refresh[T]
	next     *refresh[T] // starts when running ends; nil: nobody waits for it
}

// reading is a value and what was derived from it. Only derived changes.
type reading[T any] struct {
	value T
	began time.Time
	// outdated: there is a newer value, and loading it has failed.
	outdated bool
	derived  *memo.Table
}

// New returns a Value that is loaded by load. It does not call load yet. What Vendure calls default
// arguments are the variables that load closes over. Unusable options are a [driver.OptionError].
func New[T any](load func(context.Context) (T, error), options Options) (*Value[T], error) {
	if load == nil {
		return nil, errors.New("refreshing: New needs a function that loads the value")
	}
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, err
	}
	return &Value[T]{options: options, load: load}, nil
}

// Get returns the value. If the value is older than its TTL, Get waits for a load. So even a value
// that is rarely asked for is never older than its TTL.
//
// If the load fails, Get returns the last good value, until that is older than MaxAge. If there is
// none, Get returns the error of the load as it is. During the back-off, all calls return the same
// without loading. The first call after the back-off loads again.
func (r *Value[T]) Get(ctx context.Context) (T, error) {
	read, err := r.get(ctx)
	if err != nil {
		var zero T
		return zero, err
	}
	return read.value, nil
}

// Refresh loads the value now, whatever its age and the back-off. Call it after a change of the
// source has been committed. It never returns the result of a load that was running when it was
// called. Calls that wait share the next load. If that load fails, Refresh returns its error, and
// Get treats the value as older than its TTL. Until Refresh has returned, Get may return the old
// value. If that must not happen, call Invalidate.
func (r *Value[T]) Refresh(ctx context.Context) (T, error) {
	return r.force(ctx, nil)
}

// RefreshWith is Refresh with a loader of its own, which is used once in place of the loader that
// New got. It may read in another way, for example through another connection. It must read the
// same value, because the loader of the first waiting call serves all of them. If it fails after
// ctx has ended, it fails for this call only, and the loader of the next call runs.
func (r *Value[T]) RefreshWith(ctx context.Context, load func(context.Context) (T, error)) (T, error) {
	return r.force(ctx, load)
}

// force is RefreshWith. If load is nil, it uses r.load.
func (r *Value[T]) force(ctx context.Context, load func(context.Context) (T, error)) (T, error) {
	var zero T
	within := chain.From(ctx)
	if within != nil {
		switch within.To(r) {
		case chain.Loading:
			return zero, chain.ErrRecursiveLoad
		case chain.Writing:
			return r.forceAlone(ctx, chain.Load, load)
		case chain.Apart:
		}
	}
	for voided := 0; ctx.Err() == nil; {
		r.mu.Lock()
		f, own := r.join(ctx, load, true)
		r.mu.Unlock()
		switch ended := r.wait(ctx, within, f, own); {
		case !ended && ctx.Err() == nil:
			return r.forceAlone(ctx, chain.LoadAfterWait, load)
		case !ended:
		case f.void && (!own || voided < maxVoided):
			if own {
				voided++
			}
		case f.err != nil:
			return zero, f.err
		default:
			return f.read.value, nil
		}
	}
	return zero, ctx.Err()
}

// Invalidate drops the value, everything that was derived from it, and the back-off. The next Get
// loads. A running load is cancelled, and nobody gets its result. Callers that wait for it then
// wait for the next load.
func (r *Value[T]) Invalidate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest.Store(nil)
	r.failures, r.err = 0, nil
	if r.running != nil {
		r.running.void = true
		r.running.cancel()
	}
}

// Derive returns what derive computes from the value of r (memoize of Vendure's
// SelfRefreshingCache). The result is computed once for each key, and kept as long as the value.
// For each pair of key and result types, always pass the same derive. The rules for derive are
// those of requestscope.Memo. For example, errors are not kept.
func Derive[R, T any, K comparable](ctx context.Context, r *Value[T], key K, derive func(context.Context, T) (R, error)) (R, error) {
	read, err := r.get(ctx)
	if err != nil {
		var zero R
		return zero, err
	}
	return memo.Compute(memo.OutsideScope(ctx), read.derived, key, func(ctx context.Context) (R, error) {
		return derive(ctx, read.value)
	})
}

func (r *Value[T]) get(ctx context.Context) (*reading[T], error) {
	within := chain.From(ctx)
	if within != nil {
		switch within.To(r) {
		case chain.Loading:
			return nil, chain.ErrRecursiveLoad
		case chain.Writing:
			return r.alone(ctx, chain.Load, r.load)
		case chain.Apart:
		}
	}
	for voided := 0; ; {
		if read := r.latest.Load(); r.fresh(read) {
			return read, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.mu.Lock()
		if read := r.latest.Load(); r.fresh(read) { // just loaded
			r.mu.Unlock()
			return read, nil
		}
		if r.failures > 0 && r.within(r.failed, r.backoff()) {
			err := r.err
			r.mu.Unlock()
			return r.fallback(err)
		}
		f, own := r.join(ctx, nil, false)
		r.mu.Unlock()
		switch ended := r.wait(ctx, within, f, own); {
		case !ended && ctx.Err() == nil:
			return r.alone(ctx, chain.LoadAfterWait, r.load)
		case !ended:
		case f.void && (!own || voided < maxVoided):
			if own {
				voided++
			}
		case f.err != nil:
			return r.fallback(f.err)
		default:
			return f.read, nil
		}
	}
}

func (r *Value[T]) fresh(read *reading[T]) bool {
	return read != nil && !read.outdated && r.within(read.began, r.options.TTL)
}

// within reports whether less than d has passed since then. If the clock was set back, d ends at
// once; otherwise it would last longer than it should. The clock must be read here, after then was:
// an earlier reading by a slow caller would look like a clock that was set back.
func (r *Value[T]) within(then time.Time, d time.Duration) bool {
	passed := r.options.Clock.Now().Sub(then)
	return passed >= 0 && passed < d
}

// fallback returns the last good value, or err if there is none that may be served.
func (r *Value[T]) fallback(err error) (*reading[T], error) {
	read := r.latest.Load()
	if read == nil || r.options.MaxAge > 0 && !r.within(read.began, r.options.MaxAge) {
		return nil, err
	}
	return read, nil
}

// backoff returns the pause after the failures so far. Callers hold mu.
func (r *Value[T]) backoff() time.Duration {
	pause := r.options.Backoff
	for i := 1; i < r.failures && pause < r.options.MaxBackoff; i++ {
		pause *= 2
	}
	return min(pause, r.options.MaxBackoff)
}
