package fxcache

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	goruntime "runtime"
	"slices"
	"strings"

	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/internal/nearest"
	"github.com/fxcache/fxcache/internal/panics"
	"github.com/fxcache/fxcache/sessioncache"
)

// runtime is the cache of one application. Building it has no side effects, so all errors can be
// collected. start and stop do the work.
type runtime struct {
	in        runtimeIn // for reloads
	source    *config.Source
	reloader  *Reloader
	factories []driver.Factory
	plan      *plan
	service   *cache.Service
	sessions  sessioncache.Strategy
	exports   []export
	warnings  []string // logged at start
	// err is the configuration error. newRuntime does not return it to dig, because dig would wrap
	// it in the names of constructors.
	err error
}

func newRuntime(in runtimeIn) *runtime {
	r := &runtime{in: in}
	watch, invalid := watchOptions(in.Watches)
	if r.err = r.build(in); invalid != nil {
		r.err = config.Join(invalid, r.err)
	}
	if r.err == nil {
		r.reloader = newReloader(r, watch)
		in.Lifecycle.Append(fx.Hook{OnStart: r.start, OnStop: r.stop})
		in.Lifecycle.Append(fx.Hook{OnStart: r.reloader.start, OnStop: r.reloader.stop})
	}
	return r
}

// sessionsOf returns the session strategy as a T. It returns an error if the strategy does not
// implement T.
func sessionsOf[T any](r *runtime) (sessions T, err error) {
	if r.err != nil {
		return sessions, r.err
	}
	sessions, ok := r.sessions.(T)
	if !ok {
		return sessions, fmt.Errorf("session_cache.strategy is %q, which is not a %v: depend on sessioncache.Sessions, which the strategies default "+
			"and noop implement, or on sessioncache.Strategy, which all do; or select session_cache.strategy: %s",
			r.plan.sessions.strategy, reflect.TypeFor[T](), defaultSessions)
	}
	return sessions, nil
}

// start initialises the strategies with the exported values of the application. Only Init sees the
// container, because dig is not safe for concurrent use.
func (r *runtime) start(ctx context.Context) error {
	r.service.Options().Logger.InfoContext(ctx, "cache: the configuration was read", r.inputsRead()...)
	for _, warning := range r.warnings {
		r.service.Options().Logger.WarnContext(ctx, "cache: "+warning)
	}
	container, err := r.container(r.source)
	if err != nil {
		return err
	}
	if err := r.service.Start(ctx, container.Scope(cachePath)); err != nil {
		return r.plan.locate(err)
	}
	err = locate(r.initSessions(ctx, container.Scope(sessionPath+"."+r.plan.sessions.strategy)), sessionPath)
	if err == nil && ctx.Err() != nil {
		// fx has given up on this start, so it will not call stop.
		err = ctx.Err()
	}
	if err != nil {
		return errors.Join(err, r.stop(context.WithoutCancel(ctx)))
	}
	r.report(ctx)
	return nil
}

// report logs what is in use, and what of the configuration is not.
func (r *runtime) report(ctx context.Context) {
	logger := r.service.Options().Logger
	for _, store := range r.service.Stores() {
		logger.InfoContext(ctx, "cache: a store is in use", describe(store)...)
	}
	unused, used := r.service.UnusedCaches()
	for _, name := range unused {
		attributes := []any{"cache", name, "key", cachePath + ".caches." + name}
		if guess := nearest.To(name, used, len(name)); guess != "" {
			attributes = append(attributes, "did_you_mean", guess)
		}
		logger.WarnContext(ctx, "cache: the configuration names a cache that the application has not made so far", attributes...)
	}
}

// locate turns an invalid option that only Init could detect into a config.Error with the full
// path, like the errors of the other options.
func locate(err error, section string) error {
	var option *cache.OptionError
	if !errors.As(err, &option) {
		return err
	}
	if strings.HasPrefix(option.Name, "caches.") { // of the cache within a session strategy, for example
		section = cachePath
	}
	return &config.Error{Problems: []config.Problem{{Path: section + "." + option.Name, Message: option.Reason}}}
}

func (r *runtime) initSessions(ctx context.Context, in driver.Injector) (err error) {
	defer panics.CatchAs(&err, panicked("session strategy "+r.plan.sessions.strategy+": Init"))
	if initializer, ok := r.sessions.(driver.Initializer); ok {
		if err := initializer.Init(ctx, in); err != nil {
			return fmt.Errorf("session strategy %s: %w", r.plan.sessions.strategy, err)
		}
	}
	return nil
}

func (r *runtime) stop(ctx context.Context) error {
	return errors.Join(r.destroySessions(ctx), r.service.Stop(ctx))
}

func (r *runtime) destroySessions(ctx context.Context) (err error) {
	defer panics.CatchAs(&err, panicked("session strategy "+r.plan.sessions.strategy+": Destroy"))
	if destroyer, ok := r.sessions.(driver.Destroyer); ok {
		return destroyer.Destroy(ctx)
	}
	return nil
}

// container builds the container that Init receives: the module's own values and the exported ones.
func (r *runtime) container(source *config.Source) (*dig.Container, error) {
	container := dig.New()
	err := errors.Join(
		r.service.ProvideTo(container),
		container.Provide(func() *config.Source { return source }),
		container.Provide(func() []driver.Factory { return r.factories }),
	)
	exported := make(map[reflect.Type]bool)
	for _, e := range r.exports {
		if exported[e.of] {
			continue // two modules of one application may export the same type
		}
		exported[e.of] = true
		if failure := e.put(container); failure != nil {
			err = errors.Join(err, fmt.Errorf("fxcache.Export[%v]: the module already provides this type to strategies: %w", e.of, dig.RootCause(failure)))
		}
	}
	return container, err
}

// uses reports whether a store has that strategy.
func (r *runtime) uses(strategy string) bool {
	return r.plan != nil && slices.ContainsFunc(r.plan.stores, func(s plannedStore) bool { return s.options.StrategyName == strategy })
}

// panicked makes the error of a panic in code of the application. What the code panicked with may
// be anything, a password included. What Go itself panics with is shown.
func panicked(what string) func(value any) error {
	return func(value any) error {
		if failure, ok := value.(goruntime.Error); ok {
			return fmt.Errorf("%s panicked: %w", what, failure)
		}
		return fmt.Errorf("%s panicked with a %T", what, value)
	}
}
