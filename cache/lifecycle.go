package cache

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/metric"
	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/revocation"
	"github.com/fxcache/fxcache/internal/absent"
	"github.com/fxcache/fxcache/internal/panics"
)

// Start initialises the strategies and opens the Service. in is what Init of a strategy receives;
// nil means a container that holds no more than [Service.ProvideTo] puts there. If there are
// several stores, in must be a *dig.Container or *dig.Scope: each strategy finds the driver.Limits
// of its own store. ctx bounds Start alone. After a failed Start nothing stays open, and Start may
// be tried again; so it may after Stop.
func (s *Service) Start(ctx context.Context, in driver.Injector) error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.phase.Load() == phaseStarted {
		return s.main().fail("start", errors.New("already started"))
	}
	outbox, failed, err := s.init(ctx, in)
	if err != nil {
		// An Init that failed half way may have opened something: Destroy is idempotent.
		return failed.fail("start", errors.Join(err, undo(ctx, s.destroy)))
	}
	s.tasks.Open()
	if err := s.restore(ctx, outbox); err != nil {
		return s.main().fail("start", errors.Join(err, undo(ctx, s.close)))
	}
	s.phase.Store(phaseStarted)
	for _, store := range s.stores {
		d := store.door()
		d.pending.Resume()
		if d.closed.Load() { // Stop came before it could be opened
			store.later(0, func(ctx context.Context) { d.open(ctx, unknownClaim) })
		}
	}
	return nil
}

// Stop closes the Service. Later calls return ErrClosed. Pending revocations are tried for half of
// the time that ctx leaves. Running loads are cancelled, and waited for until ctx ends. Then the
// strategies are destroyed, the last one first. If revocations are still pending, the error says
// how many. Stopping twice, or before Start, does nothing.
func (s *Service) Stop(ctx context.Context) error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if !s.phase.CompareAndSwap(phaseStarted, phaseStopped) {
		return nil
	}
	var doors []*door
	for _, store := range s.stores {
		doors = append(doors, store.doors.Load().all()...)
	}
	failures := make([]error, len(doors))
	var flushing sync.WaitGroup
	for i, d := range doors {
		flushing.Go(func() { failures[i] = d.pending.Flush(ctx) })
	}
	flushing.Wait()
	if err := errors.Join(errors.Join(failures...), s.close(ctx)); err != nil {
		return s.main().fail("stop", err)
	}
	return nil
}

// undo gives what follows a failed Start some time of its own.
func undo(ctx context.Context, end func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return end(ctx)
}

func (s *Service) close(ctx context.Context) error {
	return errors.Join(s.tasks.Close(ctx), s.metrics.Unregister(), s.destroy(ctx))
}

// ProvideTo adds what a strategy may resolve of this Service to container: *Service, driver.Limits
// of the store "default", driver.Clock, *slog.Logger and metric.Meter.
func (s *Service) ProvideTo(container *dig.Container) error {
	options := s.Options()
	return errors.Join(
		container.Provide(func() *Service { return s }),
		container.Provide(options.Limits),
		container.Provide(func() driver.Clock { return options.Clock }),
		container.Provide(func() *slog.Logger { return options.Logger }),
		container.Provide(func() metric.Meter { return s.meter }),
	)
}

// init returns the application's Outbox, if it has one. If it fails, failed is the store that is to
// blame.
func (s *Service) init(ctx context.Context, in driver.Injector) (outbox Outbox, failed *store, err error) {
	failed = s.main()
	defer panics.Catch(&err)
	if in, err = s.injector(in); err != nil {
		return nil, failed, err
	}
	for _, failed = range s.stores {
		if err := failed.door().start(ctx, in); err != nil {
			return nil, failed, err
		}
	}
	failed = s.main()
	if err := s.apart(); err != nil { // now the storages have told who they are
		return nil, failed, err
	}
	if outbox, _, err = driver.ResolveOptional[Outbox](in); err != nil {
		return nil, failed, err
	}
	s.metrics, err = s.observe()
	return outbox, failed, err
}

// injector returns in, or a container of the Service's own.
func (s *Service) injector(in driver.Injector) (driver.Injector, error) {
	if !absent.Is(in) {
		return in, nil
	}
	container := dig.New()
	return container, s.ProvideTo(container)
}

// restore takes over the revocations that an earlier process has left in the outbox, which may be
// nil.
func (s *Service) restore(ctx context.Context, outbox Outbox) error {
	if s.outbox = nil; outbox != nil {
		s.outbox = outboxRows{outbox}
	}
	queues := make([]*revocation.Queue, len(s.stores))
	for i, store := range s.stores {
		queues[i] = store.door().pending
	}
	foreign, err := revocation.Restore(ctx, s.outbox, queues...)
	if foreign > 0 {
		options := s.Options()
		options.Logger.WarnContext(ctx, "cache: the outbox has revocations for another storage than those in use; they are kept. "+
			"What is revoked from now on, that storage will not know: clear it before you go back to it", "strategy", options.StrategyName,
			"namespace", options.Namespace, "revocations", foreign)
	}
	return err
}

func (s *Service) destroy(ctx context.Context) error {
	var errs []error
	for _, store := range slices.Backward(s.stores) {
		for _, d := range store.doors.Load().all() {
			errs = append(errs, d.destroy(ctx))
		}
		store.settle()
	}
	return errors.Join(errs...)
}
