package fxcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/fx"

	"github.com/fxcache/fxcache/internal/filewatch"
	"github.com/fxcache/fxcache/internal/panics"
)

// Watch reloads the configuration when a file has changed: those of ConfigFile, and the files of
// secrets (password_file and the like). It sees edits in place, editors that rename, and the
// symbolic links of Kubernetes. Content counts, not time: a file is read once it has stayed the
// same for a quarter of a second, and nothing is done if no value has changed. [Reloader] says what
// a reload does, and what happens if it fails.
//
// If the operating system cannot notify, that is a warning, and a change is seen within half a
// minute. Give Watch once.
func Watch(options ...WatchOption) fx.Option { return supply("watches", watch{options}) }

// WatchOption is an option of [Watch]. The zero value changes nothing.
type WatchOption struct{ change func(*filewatch.Options) }

// WatchPoll sets how often the files are read without a notification. Zero means 30 seconds.
func WatchPoll(every time.Duration) WatchOption {
	return WatchOption{func(o *filewatch.Options) { o.Poll = every }}
}

// WatchSettle sets how long the files have to stay the same before they are read. Files that keep
// changing are read after 20 times as long. Zero means 250 milliseconds.
func WatchSettle(quiet time.Duration) WatchOption {
	return WatchOption{func(o *filewatch.Options) { o.Settle = quiet }}
}

// WatchPollOnly asks the operating system for no notifications, for file systems that send none and
// for systems that have none to spare.
func WatchPollOnly() WatchOption {
	return WatchOption{func(o *filewatch.Options) { o.PollOnly = true }}
}

// watch is what Watch was given.
type watch struct{ options []WatchOption }

// watchOptions returns the options of the one Watch, or nil if there is none.
func watchOptions(watches []watch) (*filewatch.Options, error) {
	if len(watches) == 0 {
		return nil, nil //nolint:nilnil // nobody watches
	}
	if len(watches) > 1 {
		return nil, errors.New("fxcache: Watch is given more than once")
	}
	var options filewatch.Options
	for _, option := range watches[0].options {
		if option.change != nil {
			option.change(&options)
		}
	}
	for name, d := range map[string]time.Duration{"WatchPoll": options.Poll, "WatchSettle": options.Settle} {
		if d < 0 {
			return nil, fmt.Errorf("fxcache.%s: must not be negative, as %v is", name, d)
		}
	}
	return &options, nil
}

// start begins to take requests, and to watch the files.
func (r *Reloader) start(context.Context) (err error) {
	defer panics.CatchAs(&err, panicked("the application's MeterProvider"))
	metrics, err := r.observe()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.metrics, r.tasks = metrics, new(sync.WaitGroup)
	r.lifetime, r.end = context.WithCancel(context.Background())
	if ctx := r.lifetime; r.watch != nil {
		r.tasks.Go(func() { r.watchFiles(ctx) })
	}
	return nil
}

// stop ends a reload that is running, and waits for it until ctx ends.
func (r *Reloader) stop(ctx context.Context) error {
	r.mu.Lock()
	tasks, metrics := r.tasks, r.metrics
	if r.lifetime == nil {
		r.mu.Unlock()
		return nil
	}
	r.lifetime = nil
	r.end()
	r.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tasks.Wait()
	}()
	select {
	case <-ended:
		return metrics.Unregister()
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("fxcache: a reload has not ended: %w", ctx.Err()), metrics.Unregister())
	}
}

// watchFiles reloads when the files have changed. What was read before the watch began may be old,
// so the first reload follows at once.
func (r *Reloader) watchFiles(ctx context.Context) {
	logger := r.cache.service.Options().Logger
	files := r.files()
	if len(files) == 0 {
		logger.WarnContext(ctx, "cache: fxcache.Watch has nothing to watch, because no file was read: add fxcache.ConfigFile, or remove it")
		return
	}
	options := *r.watch
	options.Warn = func(err error) {
		logger.WarnContext(ctx, "cache: the operating system does not notify changes of the configuration, so they are seen later: "+
			"on Linux, raise fs.inotify.max_user_instances and fs.inotify.max_user_watches", "error", err)
	}
	watcher := filewatch.Start(ctx, files, options)
	for {
		select {
		case <-ctx.Done():
			<-watcher.Done()
			return
		case <-watcher.Changes():
			_ = r.Reload(ctx) // it is in the log, in Status and in the metrics
			if next := r.files(); !slices.Equal(files, next) {
				files = next
				watcher.Follow(files)
			}
		}
	}
}

// files returns the files to watch.
func (r *Reloader) files() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.depends
}

// observe registers the metrics of reloads.
func (r *Reloader) observe() (metric.Registration, error) {
	meter := r.cache.service.Options().MeterProvider.Meter("github.com/fxcache/fxcache")
	reloads, err1 := meter.Int64ObservableCounter("fxcache.reloads", metric.WithDescription("Reloads of the configuration."))
	generation, err2 := meter.Int64ObservableGauge("fxcache.reload.generation",
		metric.WithDescription("How many configurations have been in force. That of the start is 1."))
	broken, err3 := meter.Int64ObservableGauge("fxcache.reload.failed",
		metric.WithDescription("1 if the last reload failed, so that an older configuration is in force; 0 otherwise."))
	success, err4 := meter.Float64ObservableGauge("fxcache.reload.last_success", metric.WithUnit("s"),
		metric.WithDescription("When the configuration was last read without an error, in seconds since 1970."))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	names := [outcomes]string{succeeded: "success", unchanged: "unchanged", failed: "failed"}
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		r.mu.Lock()
		status, counts := r.status, r.counts
		r.mu.Unlock()
		for outcome, name := range names {
			o.ObserveInt64(reloads, counts[outcome], metric.WithAttributes(attribute.String("outcome", name)))
		}
		o.ObserveInt64(generation, int64(status.Generation)) //nolint:gosec // a count of reloads
		wrong := int64(0)
		if status.LastError != nil {
			wrong = 1
		}
		o.ObserveInt64(broken, wrong)
		o.ObserveFloat64(success, float64(status.LastSuccess.UnixMilli())/1000)
		return nil
	}, reloads, generation, broken, success)
}
