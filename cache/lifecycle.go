package cache

import (
	"context"
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/revocation"
	"github.com/fxcache/fxcache/internal/absent"
	"github.com/fxcache/fxcache/internal/panics"
)

// Start initialises the strategy and opens the Service. in is what the strategy's Init receives;
// nil means a container that holds no more than [Service.ProvideTo] puts there. ctx bounds Start
// alone. After a failed Start nothing stays open, and Start may be tried again; so it may after
// Stop.
func (s *Service) Start(ctx context.Context, in driver.Injector) error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.phase.Load() == phaseStarted {
		return s.store.fail("start", errors.New("already started"))
	}
	outbox, err := s.init(ctx, in)
	if err != nil {
		// An Init that failed half way may have opened something: Destroy is idempotent.
		return s.store.fail("start", errors.Join(err, undo(ctx, s.destroy)))
	}
	s.tasks.Open()
	if err := s.restore(ctx, outbox); err != nil {
		return s.store.fail("start", errors.Join(err, undo(ctx, s.close)))
	}
	s.phase.Store(phaseStarted)
	s.store.pending.Resume()
	return nil
}

// Stop closes the Service. Later calls return ErrClosed. Pending revocations are tried for half of
// the time that ctx leaves. Running loads are cancelled, and waited for until ctx ends. Then the
// strategy is destroyed. If revocations are still pending, the error says how many. Stopping twice,
// or before Start, does nothing.
func (s *Service) Stop(ctx context.Context) error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if !s.phase.CompareAndSwap(phaseStarted, phaseStopped) {
		return nil
	}
	if err := errors.Join(s.store.pending.Flush(ctx), s.close(ctx)); err != nil {
		return s.store.fail("stop", err)
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
	defer panics.Catch(&err)
	if absent.Is(in) {
		container := dig.New()
		if err := s.ProvideTo(container); err != nil {
			return nil, err
		}
		in = container
	}
	if s.store.features.Initializer != nil {
		if err := s.store.features.Initializer.Init(ctx, in); err != nil {
			return nil, err
		}
	}
	if outbox, _, err = driver.ResolveOptional[Outbox](in); err != nil {
		return nil, err
	}
	s.metrics, err = s.observe()
	return outbox, err
}

// restore takes over the revocations that an earlier process has left in the outbox, which may be
// nil.
func (s *Service) restore(ctx context.Context, outbox Outbox) error {
	var rows revocation.Outbox
	if outbox != nil {
		rows = outboxRows{outbox}
	}
	foreign, err := s.store.pending.Restore(ctx, rows)
	if foreign > 0 {
		s.options.Logger.WarnContext(ctx, "cache: the outbox has revocations for another storage than the one in use; they are kept. "+
			"What is revoked from now on, that storage will not know: clear it before you go back to it", "strategy", s.options.StrategyName,
			"namespace", s.options.Namespace, "revocations", foreign)
	}
	return err
}

func (s *Service) destroy(ctx context.Context) (err error) {
	defer panics.Catch(&err)
	if s.store.features.Destroyer != nil {
		return s.store.features.Destroyer.Destroy(ctx)
	}
	return nil
}
