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
	s.stopping.Add(1) // before interrupt is read
	defer s.stopping.Add(-1)
	if interrupt := s.interrupt.Load(); interrupt != nil {
		(*interrupt)() // an Init that hangs must not hold it up
	}
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

// Reconfigure changes a running Service. Its arguments are as those of NewService, with the options
// of the store named "default" in main. A Store without a Strategy keeps the one that it has. A new
// Strategy is initialised, with in, and takes the place of the old one as Options.Handover says;
// Reconfigure does not wait for that. Everything else applies at once, to what is done from then
// on.
//
// Stores cannot be added, removed or given another Codec, Clock, Logger or MeterProvider, and
// caches that exist cannot be moved to another store or be given another codec. If anything is
// wrong, or an Init fails, the error lists it, and nothing is changed.
func (s *Service) Reconfigure(ctx context.Context, in driver.Injector, main Store, parts ...Part) error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	ctx, interrupt := context.WithCancel(ctx)
	defer interrupt()
	s.interrupt.Store(&interrupt)
	defer s.interrupt.Store(nil)
	switch phase := s.phase.Load(); {
	case phase == phaseStopped || phase == phaseStarted && s.stopping.Load() > 0:
		return s.main().fail("reconfigure", ErrClosed)
	case phase != phaseStarted:
		return s.main().fail("reconfigure", ErrNotStarted)
	}
	in, err := s.injector(in)
	if err != nil {
		return s.main().fail("reconfigure", err)
	}
	main.Name = defaultStore
	stores, configured := divide(main, parts)
	var errs []error
	for _, given := range stores {
		if s.store(given.Name) == nil {
			errs = append(errs, &StoreError{Name: given.Name, Err: errors.New("a store cannot be added while the application runs: restart it")})
		}
	}
	var changes []*storeChange
	for _, store := range s.stores {
		i := slices.IndexFunc(stores, func(given Store) bool { return given.Name == store.name })
		if i < 0 {
			errs = append(errs, &StoreError{Name: store.name, Err: errors.New("a store cannot be removed while the application runs: restart it")})
			continue
		}
		change, err := planChange(store, stores[i], main.Options.WithDefaults())
		if err != nil && store.name != defaultStore {
			err = &StoreError{Name: store.name, Err: err}
		}
		errs, changes = append(errs, err), append(changes, change)
	}
	errs = append(errs, s.caches.check(configured, s.stores))
	if err := errors.Join(errs...); err != nil {
		return s.main().fail("reconfigure", err)
	}
	for i, change := range changes {
		if err := s.prepare(ctx, in, change, changes[:i]); err != nil {
			for _, begun := range changes[:i+1] {
				err = errors.Join(err, begun.undo(ctx))
			}
			return change.store.fail("start", err) // as if the application began with it
		}
	}
	for _, change := range changes {
		change.apply()
	}
	s.caches.apply(configured)
	return nil
}

// prepare initialises the new strategy of a store, if it has one.
func (s *Service) prepare(ctx context.Context, in driver.Injector, change *storeChange, others []*storeChange) (err error) {
	defer panics.Catch(&err)
	next := change.next
	if next == nil {
		return nil
	}
	if err := next.start(ctx, in); err != nil {
		return err
	}
	doors := make([]*door, 0, len(s.stores)+len(others))
	for _, store := range s.stores {
		if store != change.store {
			doors = append(doors, store.doors.Load().all()...)
		}
	}
	for _, other := range others {
		if other.next != nil {
			doors = append(doors, other.next)
		}
	}
	for _, d := range doors {
		if next.leadsTo(d) {
			return &StoreError{Name: next.store.name, Err: next.clash(d)}
		}
	}
	if !next.insteadOf(change.store.doors.Load()) {
		if err := next.replaceable(); err != nil {
			return err
		}
	}
	_, err = revocation.Restore(ctx, s.outbox, next.pending)
	return err
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
