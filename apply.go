package fxcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/sessioncache"
)

// apply checks a configuration as build does at a start, with the same error, and puts it into
// force. invalid is what was wrong when next was loaded. changed are the paths whose values differ
// from the one in force. On an error nothing has changed.
func (r *runtime) apply(ctx context.Context, next *config.Source, invalid error, changed []string) error {
	p, err := newPlan(r, next, changed)
	if err = config.Join(invalid, err); err != nil {
		return err
	}
	sessions, err := r.planSessions(p, changed)
	if err != nil {
		return err
	}
	if p.stores[0].options.WithDefaults().Codec.Name() != r.service.Options().Codec.Name() {
		return needsRestart(cachePath + ".codec")
	}
	if err := p.wrap(r.in.Wrappers); err != nil {
		return err
	}
	container, err := r.container(next)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fx.DefaultTimeout) // as a start has
	defer cancel()
	main := cache.Store{Strategy: p.stores[0].strategy, Options: p.stores[0].options}
	if err := r.service.Reconfigure(ctx, container.Scope(cachePath), main, p.parts()...); err != nil {
		return p.locateEach(err)
	}
	sessions()
	r.plan, r.source = p, next
	return nil
}

// planSessions checks what has changed about the session cache, and returns what puts it into
// force.
func (r *runtime) planSessions(p *plan, changed []string) (apply func(), err error) {
	old, next := r.plan.sessions, p.sessions
	custom := sessionPath + "." + next.strategy
	switch {
	case old.strategy != next.strategy:
		return nil, needsRestart(sessionPath + ".strategy")
	case next.custom != nil:
		if i := slices.IndexFunc(changed, func(path string) bool { return path == custom || strings.HasPrefix(path, custom+".") }); i >= 0 {
			return nil, needsRestart(changed[i])
		}
		return func() {}, nil
	}
	sessions, ok := r.sessions.(*sessioncache.Default)
	if !ok {
		return func() {}, nil
	}
	err = sessions.CheckOptions(next.options)
	var option *cache.OptionError
	if errors.As(err, &option) {
		return nil, locate(err, sessionPath)
	}
	return func() { sessions.SetOptions(next.options) }, err
}

// locateEach is locate for an error of Reconfigure, which lists all that may not change.
func (p *plan) locateEach(err error) error {
	var whole *cache.Error
	if !errors.As(err, &whole) || whole.Op == "start" { // it is about one store, as at a start
		return p.locate(err)
	}
	var all error
	var each func(error)
	each = func(part error) {
		if joined, ok := part.(interface{ Unwrap() []error }); ok {
			for _, part := range joined.Unwrap() {
				each(part)
			}
			return
		}
		var store *cache.StoreError
		var option *cache.OptionError
		if errors.As(part, &store) && !errors.As(part, &option) {
			part = &config.Error{Problems: []config.Problem{{Path: cachePath + ".stores." + store.Name, Message: store.Err.Error()}}}
		}
		all = config.Join(all, p.locate(part))
	}
	each(whole.Err)
	return all
}

func needsRestart(path string) error {
	return &config.Error{Problems: []config.Problem{{Path: path, Message: "cannot change while the application runs: restart it"}}}
}

// followed returns the sections of the strategies that follow their secrets themselves.
func (r *runtime) followed() (sections []string) {
	for _, factory := range r.factories {
		if !factory.FollowsSecrets {
			continue
		}
		for _, store := range r.plan.stores {
			sections = append(sections, fmt.Sprintf("%s.%s", store.path, factory.Name))
		}
	}
	return sections
}

// inputsRead is what the log says at start: the names of what was read, and no values.
func (r *runtime) inputsRead() []any {
	return []any{"files", r.source.Files(), "variables", r.source.Variables(), "others", r.source.Others()}
}
