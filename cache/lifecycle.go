package cache

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"go.opentelemetry.io/otel/metric"
	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/absent"
)

// Start initialises the strategy and opens the Service. in is what the strategy's Init receives; nil
// means a container that holds no more than [Service.ProvideTo] puts there. ctx bounds Start alone.
// After a failed Start nothing stays open, and Start may be tried again; so it may after Stop.
func (s *Service) Start(ctx context.Context, in driver.Injector) error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.phase.Load() == phaseStarted {
		return s.fail("start", errors.New("already started"))
	}
	outbox, err := s.init(ctx, in)
	if err != nil {
		// An Init that failed half way may have opened something: Destroy is idempotent.
		return s.fail("start", errors.Join(err, s.destroy(context.WithoutCancel(ctx))))
	}
	s.loads.open()
	if err := s.recallOwed(ctx, outbox); err != nil {
		return s.fail("start", errors.Join(err, s.close(context.WithoutCancel(ctx))))
	}
	s.phase.Store(phaseStarted)
	s.retryOwed()
	return nil
}

// Stop closes the Service: later calls return ErrClosed, revocations that are owed are tried for half of
// the time that ctx leaves, running loads are cancelled and waited for until ctx ends, and the strategy
// is destroyed. What is still owed then is in the error. Stopping twice, or before Start, does nothing.
func (s *Service) Stop(ctx context.Context) error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if !s.phase.CompareAndSwap(phaseStarted, phaseStopped) {
		return nil
	}
	if err := errors.Join(s.flushOwed(ctx), s.close(ctx)); err != nil {
		return s.fail("stop", err)
	}
	return nil
}

func (s *Service) close(ctx context.Context) error {
	return errors.Join(s.loads.close(ctx), s.metrics.Unregister(), s.destroy(ctx))
}

// ProvideTo adds what a strategy may resolve of this Service to container: *Service, driver.Limits,
// driver.Clock, *slog.Logger and metric.Meter.
func (s *Service) ProvideTo(container *dig.Container) error {
	return errors.Join(
		container.Provide(func() *Service { return s }),
		container.Provide(s.options.Limits),
		container.Provide(func() driver.Clock { return s.options.Clock }),
		container.Provide(func() *slog.Logger { return s.options.Logger }),
		container.Provide(func() metric.Meter { return s.meter }),
	)
}

// init returns the application's Outbox, if it has one.
func (s *Service) init(ctx context.Context, in driver.Injector) (outbox Outbox, err error) {
	defer asPanicError(&err)
	if absent.Is(in) {
		container := dig.New()
		if err := s.ProvideTo(container); err != nil {
			return nil, err
		}
		in = container
	}
	if s.features.Initializer != nil {
		if err := s.features.Initializer.Init(ctx, in); err != nil {
			return nil, err
		}
	}
	if outbox, _, err = driver.ResolveOptional[Outbox](in); err != nil {
		return nil, err
	}
	s.metrics, err = s.observe()
	return outbox, err
}

func (s *Service) destroy(ctx context.Context) (err error) {
	defer asPanicError(&err)
	if s.features.Destroyer != nil {
		return s.features.Destroyer.Destroy(ctx)
	}
	return nil
}

// loads keeps account of the goroutines that run loaders, so that none outlives Stop unnoticed.
type loads struct {
	mu  sync.Mutex
	run *loadRun // nil before Start
}

// loadRun are the loads between one Start and the next Stop. Each has an account of its own, because a
// load that does not listen may end long after the Service was started again.
type loadRun struct {
	ctx     context.Context // ends with Stop
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func (l *loads) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.run = &loadRun{}
	l.run.ctx, l.run.cancel = context.WithCancel(context.Background())
}

// start runs load in a goroutine of its own, in a context with the values of parent but not its end,
// which cancel ends. life is what ends with Stop. It reports false after that.
func (l *loads) start(parent context.Context, load func(context.Context)) (life context.Context, cancel context.CancelFunc, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	run := l.run
	if run == nil || run.ctx.Err() != nil {
		return nil, nil, false
	}
	ctx, cancel := valuesOf(parent, run.ctx)
	run.running.Add(1)
	go func() {
		defer run.running.Done()
		defer cancel()
		load(ctx)
	}()
	return run.ctx, cancel, true
}

// valuesOf returns a context with the values of one, and the end of another.
func valuesOf(parent, life context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

func (l *loads) close(ctx context.Context) error {
	l.mu.Lock()
	run := l.run
	run.cancel()
	l.mu.Unlock()
	done := make(chan struct{})
	go func() {
		run.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("a loader did not end when it was cancelled"), ctx.Err())
	}
}
