package fxcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/internal/filewatch"
	"github.com/fxcache/fxcache/internal/panics"
)

// Reloader reads the configuration again while the application runs. The Module provides it, with
// and without [Watch]. It is safe for concurrent use.
type Reloader struct {
	cache *runtime
	watch *filewatch.Options // nil: nobody watches the files

	mu       sync.Mutex
	lifetime context.Context //nolint:containedctx // of the goroutines; nil before the start, and after the end
	end      context.CancelFunc
	tasks    *sync.WaitGroup
	waiting  *attempt // the reload that begins when the one that is running has ended
	working  bool     // there is a goroutine that takes what is waiting
	current  *config.Source
	depends  []string // the files to watch
	status   ReloadStatus
	logged   string // the text of the last failure in the log
	counts   [outcomes]int64
	metrics  metric.Registration
}

// ReloadStatus says how the last reloads went.
type ReloadStatus struct {
	// Generation counts the configurations that have been in force. That of the start is 1.
	Generation uint64
	// LastSuccess is when the configuration was last read without an error, changed or not. At
	// first it is when the application was built.
	LastSuccess time.Time
	// LastError is why the last reload failed: the configuration before it is in force. Nil: it
	// succeeded.
	LastError error
	// FailedAt is when LastError happened. It is zero if LastError is nil.
	FailedAt time.Time
	// Running: a reload is under way.
	Running bool
}

// attempt is one reload. All callers that came before it began have its result.
type attempt struct {
	done chan struct{}
	err  error // once done is closed
}

// The outcomes of a reload.
const (
	succeeded = iota
	unchanged
	failed
	outcomes // how many there are
)

func newReloader(r *runtime, watch *filewatch.Options) *Reloader {
	reloader := &Reloader{cache: r, watch: watch, current: r.source, status: ReloadStatus{Generation: 1, LastSuccess: time.Now()}}
	reloader.dependOn(r.source)
	return reloader
}

// Reload reads all inputs again: the files, the environment, the application's koanf and what the
// options in code set. Everything is validated, as it is at the start, with the same error. Then
// what has changed is applied. If anything fails, the configuration before stays in force, and the
// error is in the log, in [Reloader.Status] and in the metrics until a reload succeeds. Nothing is
// done if no value has changed.
//
// Reloads run one at a time. Calls that come while one is running share the next. If ctx ends,
// Reload returns, and the reload goes on. The error is a *config.Error if the configuration is
// invalid, cache.ErrNotStarted before the start of the application, and cache.ErrClosed after its
// end. Do not call it from an Init or Destroy of a strategy, for which a reload may wait.
func (r *Reloader) Reload(ctx context.Context) error {
	a, err := r.request()
	if err != nil {
		return err
	}
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return fmt.Errorf("fxcache: the reload goes on, but nobody waits for it: %w", ctx.Err())
	}
}

// Status says how the last reloads went.
func (r *Reloader) Status() ReloadStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// Format implements fmt.Formatter: no verb and no flag prints the paths that are within.
func (r *Reloader) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "fxcache.Reloader") }

// request returns a reload that has not begun yet.
func (r *Reloader) request() (*attempt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lifetime == nil {
		if r.end != nil {
			return nil, cache.ErrClosed
		}
		return nil, cache.ErrNotStarted
	}
	if r.waiting == nil {
		r.waiting = &attempt{done: make(chan struct{})}
	}
	if !r.working {
		r.working = true
		r.tasks.Go(r.work)
	}
	return r.waiting, nil
}

// work runs what is waiting, until nothing is.
func (r *Reloader) work() {
	for {
		r.mu.Lock()
		ctx := r.lifetime
		a := r.waiting
		r.waiting = nil
		r.status.Running = a != nil
		r.working = a != nil
		r.mu.Unlock()
		if a == nil {
			return
		}
		if a.err = cache.ErrClosed; ctx != nil {
			a.err = r.reload(ctx)
		}
		close(a.done)
	}
}

func (r *Reloader) reload(ctx context.Context) error {
	changed, err := r.replace(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return cache.ErrClosed // that is no failure of the configuration
	}
	r.mu.Lock()
	last := r.status.LastError
	repeated := err != nil && err.Error() == r.logged
	r.logged = ""
	switch {
	case err != nil:
		r.status.LastError, r.status.FailedAt, r.logged = err, time.Now(), err.Error()
		r.counts[failed]++
	default:
		r.status.LastError, r.status.FailedAt, r.status.LastSuccess = nil, time.Time{}, time.Now()
		if len(changed) > 0 {
			r.status.Generation++
			r.counts[succeeded]++
		} else {
			r.counts[unchanged]++
		}
	}
	generation := r.status.Generation
	r.mu.Unlock()
	r.cache.service.ReloadFailed(err)

	switch logger := r.cache.service.Options().Logger; {
	case err != nil && !repeated:
		logger.ErrorContext(ctx, "cache: the configuration could not be reloaded, and the last good one stays in force: "+
			"correct what the error names, and reload again (a watch does that itself)", "error", err)
	case err != nil:
	case len(changed) > 0:
		logger.InfoContext(ctx, "cache: the configuration was reloaded", "changed", changed, "generation", generation)
	case last != nil:
		logger.InfoContext(ctx, "cache: the configuration is valid again, and is the one in force", "generation", generation)
	default:
		logger.DebugContext(ctx, "cache: the configuration was read again, and no value has changed")
	}
	return err
}

// replace puts another configuration into force. It returns the paths that have changed.
func (r *Reloader) replace(ctx context.Context) (changed []string, err error) {
	defer panics.CatchAs(&err, panicked("fxcache: the reload"))
	r.mu.Lock()
	current := r.current
	r.mu.Unlock()
	next, invalid := load(r.cache.in)
	if next == nil {
		return nil, invalid
	}
	if err := config.Emptied(current, next); err != nil {
		return nil, err // what else is wrong follows from it
	}
	changed = config.Changes(current, next, r.cache.followed()...)
	if len(changed) > 0 || invalid != nil {
		err = r.cache.apply(ctx, next, invalid, changed)
	}
	r.dependOn(current, next)
	if err != nil {
		return nil, err
	}
	if len(changed) == 0 {
		return nil, nil
	}
	r.mu.Lock()
	r.current = next
	r.mu.Unlock()
	return changed, nil
}

// dependOn sets the files to watch. Those of the configuration in force stay among them, because
// another one that is invalid may have lost the way to them.
func (r *Reloader) dependOn(sources ...*config.Source) {
	var files []string
	for _, source := range sources {
		files = append(files, source.Depends()...)
	}
	slices.Sort(files)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.depends = slices.Compact(files)
}
