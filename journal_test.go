package fxcache_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/strategies/noop"
)

// journal records the calls of the strategies under test, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) is(t *testing.T, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.lines, want) {
		t.Errorf("what happened:\n got %q\nwant %q", j.lines, want)
	}
}

// storage is a third party's strategy. It stores nothing and records its calls in the journal.
type storage struct {
	noop.Strategy
	*journal
	init    func(context.Context, driver.Injector) error
	destroy func(context.Context) error
}

func (s *storage) Init(ctx context.Context, in driver.Injector) error {
	s.add("storage init")
	if s.init != nil {
		return s.init(ctx, in)
	}
	return nil
}

func (s *storage) Destroy(ctx context.Context) error {
	s.add("storage destroy")
	if s.destroy != nil {
		return s.destroy(ctx)
	}
	return nil
}

// register makes s the selected storage strategy.
func (s *storage) register() fx.Option {
	return fx.Options(
		fxcache.Register(driver.Factory{Name: "third", New: func(cfg driver.Decoder) (driver.Strategy, error) {
			var none struct{}
			return s, cfg.Decode(&none)
		}}),
		fxcache.Override(map[string]any{"cache.strategy": "third"}),
	)
}

// tickets is a third party's session strategy. It records its calls in the journal.
type tickets struct {
	sessioncache.Noop
	*journal
	init func(context.Context, driver.Injector) error
}

func (s *tickets) Init(ctx context.Context, in driver.Injector) error {
	s.add("sessions init")
	if s.init != nil {
		return s.init(ctx, in)
	}
	return nil
}

func (s *tickets) Destroy(context.Context) error {
	s.add("sessions destroy")
	return nil
}

func (s *tickets) register() fx.Option {
	return fxcache.RegisterSession(sessioncache.Factory{Name: "tickets", New: func(cfg driver.Decoder) (sessioncache.Strategy, error) {
		var none struct{}
		return s, cfg.Decode(&none)
	}})
}

// newApp builds an application that logs nothing and ignores the environment.
func newApp(options ...fx.Option) *fx.App {
	return fx.New(fxcache.Module, fx.NopLogger,
		fxcache.Environment("FXCACHE_", func() []string { return nil }), fx.Options(options...))
}
