package fxcache

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	goruntime "runtime"

	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/sessioncache"
)

// runtime is what one application has of the cache. It is built without doing anything, so that
// errors can be collected; start and stop do the work.
type runtime struct {
	source    *config.Source
	factories []driver.Factory
	service   *cache.Service
	sessions  sessioncache.Strategy
	// names of the selected strategies, for the scopes of the container.
	strategy, sessionStrategy string
	seeds                     []seed
	// err is the configuration error. It is kept here, and not returned to dig, because dig would
	// wrap it in the names of constructors.
	err error
}

func newRuntime(in runtimeIn) *runtime {
	r := &runtime{}
	if r.err = r.build(in); r.err == nil {
		in.Lifecycle.Append(fx.Hook{OnStart: r.start, OnStop: r.stop})
	}
	return r
}

// sessionsOf returns the session strategy as a T, where it is one.
func sessionsOf[T any](r *runtime) (sessions T, err error) {
	if r.err != nil {
		return sessions, r.err
	}
	sessions, ok := r.sessions.(T)
	if !ok {
		return sessions, fmt.Errorf("session_cache.strategy is %q, which is no %v", r.sessionStrategy, reflect.TypeFor[T]())
	}
	return sessions, nil
}

// start initialises the strategies with what the application exports. Only they see the container:
// dig is not safe for concurrent use.
func (r *runtime) start(ctx context.Context) error {
	container, err := r.container()
	if err != nil {
		return err
	}
	if err := r.service.Start(ctx, container.Scope(cachePath+"."+r.strategy)); err != nil {
		return locate(err, cachePath+"."+r.strategy)
	}
	err = locate(r.initSessions(ctx, container.Scope(sessionPath+"."+r.sessionStrategy)), sessionPath)
	if err == nil && ctx.Err() != nil {
		// fx has given up on this start and will not call stop.
		err = ctx.Err()
	}
	if err != nil {
		return errors.Join(err, r.stop(context.WithoutCancel(ctx)))
	}
	return nil
}

// locate gives an unusable option that only Init could find the words and the path that the others
// have.
func locate(err error, section string) error {
	var option *cache.OptionError
	if !errors.As(err, &option) {
		return err
	}
	return &config.Error{Problems: []config.Problem{{Path: section + "." + option.Name, Message: option.Reason}}}
}

func (r *runtime) initSessions(ctx context.Context, in driver.Injector) (err error) {
	defer recovered("session strategy "+r.sessionStrategy+": Init", &err)
	if initializer, ok := r.sessions.(driver.Initializer); ok {
		if err := initializer.Init(ctx, in); err != nil {
			return fmt.Errorf("session strategy %s: %w", r.sessionStrategy, err)
		}
	}
	return nil
}

func (r *runtime) stop(ctx context.Context) error {
	return errors.Join(r.destroySessions(ctx), r.service.Stop(ctx))
}

func (r *runtime) destroySessions(ctx context.Context) (err error) {
	defer recovered("session strategy "+r.sessionStrategy+": Destroy", &err)
	if destroyer, ok := r.sessions.(driver.Destroyer); ok {
		return destroyer.Destroy(ctx)
	}
	return nil
}

// container builds what Init receives: what the module has, and what the application exports.
func (r *runtime) container() (*dig.Container, error) {
	container := dig.New()
	err := errors.Join(
		r.service.ProvideTo(container),
		container.Provide(func() *config.Source { return r.source }),
		container.Provide(func() []driver.Factory { return r.factories }),
	)
	exported := make(map[reflect.Type]bool)
	for _, seed := range r.seeds {
		if exported[seed.of] {
			continue // two modules of one application may need the same
		}
		exported[seed.of] = true
		if failure := seed.put(container); failure != nil {
			err = errors.Join(err, fmt.Errorf("fxcache.Export[%v]: strategies have one of the cache's own: %w", seed.of, dig.RootCause(failure)))
		}
	}
	return container, err
}

// recovered turns a panic of foreign code into an error. Deferred. What the code panicked with may be
// anything, a password included; what Go itself panics with is shown.
func recovered(what string, err *error) {
	value := recover()
	if failure, ok := value.(goruntime.Error); ok {
		*err = fmt.Errorf("%s panicked: %w", what, failure)
	} else if value != nil {
		*err = fmt.Errorf("%s panicked with a %T", what, value)
	}
}
