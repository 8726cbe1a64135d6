package fxcache

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/internal/absent"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/strategies"
)

// plan is what a configuration asks for, checked. To make one opens nothing.
type plan struct {
	source   *config.Source
	stores   []plannedStore // the one named "default" is the first
	caches   cache.Caches
	sessions plannedSessions
}

// plannedStore is one store of a plan.
type plannedStore struct {
	name      string
	path      string // of its section in the configuration
	namespace string // as in the configuration
	// strategy is not initialised. It is nil if the one in use stays.
	strategy driver.Strategy
	uses     []string // other strategies that it is made of
	options  cache.Options
}

// plannedSessions is the session cache of a plan.
type plannedSessions struct {
	strategy string // its name in the configuration
	options  sessioncache.Options
	custom   sessioncache.Strategy // of a factory of the application; nil: one of the built-in ones
}

// defaultStore is the name of the store that `cache.strategy` selects.
const defaultStore = "default"

// planner makes a plan.
type planner struct {
	in        runtimeIn
	source    *config.Source
	previous  *plan    // nil at the start
	changed   []string // the paths whose values have changed since
	factories map[string]driver.Factory
	names     []string // of the strategies
	stores    []string // names of the stores
	plan      *plan
}

// newPlan makes the plan of a configuration. The error lists everything that is wrong with it.
// changed are the paths whose values are others than in the plan in force. Strategies for which
// nothing has changed are not made again.
func newPlan(r *runtime, source *config.Source, changed []string) (*plan, error) {
	in := r.in
	r.factories = slices.Concat(strategies.All(), in.Factories)
	p := planner{in: in, source: source, previous: r.plan, changed: changed, plan: &plan{source: source}}
	var err error
	p.factories, p.names, err = index(r.factories, func(f driver.Factory) (string, bool) { return f.Name, f.New != nil },
		reflect.TypeFor[cacheSection]())
	if err = errors.Join(err, codecs(in.Codecs).validate()); err != nil {
		return nil, err
	}
	p.stores = append([]string{defaultStore}, source.Keys(cachePath+".stores")...)
	if source.IsSet(cachePath + ".stores") {
		err = source.Decode(cachePath+".stores", new(struct{}), p.stores...) // is it a section?
	}
	section, failed := p.cache()
	err = config.Join(err, failed)
	for _, name := range p.stores[1:] {
		err = config.Join(err, p.store(name, section))
	}
	err = config.Join(err, p.sessions())
	return p.plan, config.Join(err, source.CheckSections(cachePath, sessionPath)) // last: it knows what was decoded
}

// cache plans the store named "default", and reads what is the same for all stores.
func (p *planner) cache() (cacheSection, error) {
	section := cacheSection{storeSection: p.newSection(cachePath, cache.Options{}.WithDefaults()), Codec: "json", stores: p.stores, codecs: p.in.Codecs}
	err := p.source.Decode(cachePath, &section, append(slices.Clone(p.names), "stores")...)
	strategy, failed := p.strategy(&section.storeSection, defaultStore)
	if err = config.Join(err, failed); err != nil {
		return section, err
	}
	options := section.options()
	if options.Codec, err = section.codecs.byName(section.Codec); err != nil {
		return section, err
	}
	if err := p.takeFromGraph(&options); err != nil {
		return section, err
	}
	options.StrategyName = section.Strategy
	for _, change := range p.in.CacheOptions {
		if err := run("CacheOptions", change, func() { change(&options) }); err != nil {
			return section, err
		}
	}
	section.Options = options
	p.plan.caches = section.caches()
	for name, one := range section.Caches {
		if one.Codec == "" {
			continue
		}
		if one.CacheOptions.Codec, err = section.codecs.byName(one.Codec); err != nil {
			return section, err
		}
		p.plan.caches[name] = one.CacheOptions
	}
	p.add(defaultStore, &section.storeSection, strategy, options)
	return section, nil
}

// takeFromGraph takes what the application provides.
func (p *planner) takeFromGraph(options *cache.Options) error {
	if !absent.Is(p.in.Codec) {
		if _, configured := p.source.Text(cachePath + ".codec"); configured {
			return &config.Error{Problems: []config.Problem{{Path: cachePath + ".codec",
				Message: "the application provides a cache.Codec as well: remove one of the two"}}}
		}
		options.Codec = p.in.Codec
	}
	if !absent.Is(p.in.Clock) {
		options.Clock = p.in.Clock
	}
	if p.in.Logger != nil {
		options.Logger = p.in.Logger
	}
	if p.in.MeterProvider != nil {
		options.MeterProvider = p.in.MeterProvider
	}
	return nil
}

// store plans one of `cache.stores`. Keys that it lacks are as in `cache`.
func (p *planner) store(name string, common cacheSection) error {
	path := cachePath + ".stores." + name
	if !validName.MatchString(name) || name == defaultStore {
		return &config.Error{Problems: []config.Problem{{Path: path, Message: fmt.Sprintf(
			"is no name for a store: use lower case letters, digits, _ and -, and not %q, which is the store of cache.strategy", defaultStore)}}}
	}
	inherited := common.WithDefaults()
	if inherited.LockWait == cache.NoLockWait {
		inherited.LockWait = 0 // as the configuration has it
	}
	section := p.newSection(path, inherited)
	section.inherited = !p.source.IsSet(path + ".default_ttl")
	err := p.source.Decode(path, &section, p.names...)
	strategy, failed := p.strategy(&section, name)
	if err = config.Join(err, failed); err != nil {
		return err
	}
	options := section.options()
	options.StrategyName = section.Strategy
	p.add(name, &section, strategy, options)
	return nil
}

func (p *planner) add(name string, section *storeSection, strategy driver.Strategy, options cache.Options) {
	p.plan.stores = append(p.plan.stores, plannedStore{
		name: name, path: section.path, namespace: section.Namespace, strategy: strategy, uses: p.factories[section.Strategy].Uses, options: options,
	})
}

// newSection returns the section of a store with its defaults.
func (p *planner) newSection(path string, options cache.Options) storeSection {
	s := storeSection{Strategy: "bigcache", Options: options, known: p.names, path: path}
	s.unselected = unselected(p.source, path, p.names, s.Strategy)
	return s
}

// strategy makes the strategy of a section, even if the section is invalid, so that the strategy's
// own section is checked too.
func (p *planner) strategy(section *storeSection, store string) (driver.Strategy, error) {
	if name, ok := p.source.Text(section.path + ".strategy"); ok {
		section.Strategy = name
	} else if len(section.unselected) == 1 {
		section.Strategy = section.unselected[0] // an error, but what is meant is checked too
	}
	factory, ok := p.factories[section.Strategy]
	if !ok {
		return nil, nil //nolint:nilnil // the section's Validate reports it
	}
	if p.stays(section, store) {
		return nil, nil //nolint:nilnil // the one in use
	}
	return newStrategy(section.path, factory.Name, func() (driver.Strategy, error) {
		return factory.New(strategySection{p.source.At(section.path + "." + factory.Name), p.source, section.path, factory.Uses})
	})
}

// stays reports whether the strategy of a store, which is in use, is what the section asks for.
func (p *planner) stays(section *storeSection, store string) bool {
	if p.previous == nil {
		return false
	}
	i := slices.IndexFunc(p.previous.stores, func(s plannedStore) bool { return s.name == store })
	if i < 0 {
		return false
	}
	used := p.previous.stores[i]
	return used.options.StrategyName == section.Strategy && used.namespace == section.Namespace &&
		!slices.ContainsFunc(p.changed, func(path string) bool {
			name, within := strings.CutPrefix(path, section.path+".")
			name, _, _ = strings.Cut(name, ".")
			return within && (name == section.Strategy || slices.Contains(p.factories[section.Strategy].Uses, name))
		})
}

// strategySection is the section of a strategy, with those of the strategies that it is made of.
type strategySection struct {
	config.Section

	source *config.Source
	path   string // of the store
	uses   []string
}

// Sibling implements driver.Siblings.
func (s strategySection) Sibling(name string) driver.Decoder {
	if !slices.Contains(s.uses, name) {
		return config.Section{}
	}
	return s.source.At(s.path + "." + name)
}

// wrap decorates the strategies of a plan.
func (p *plan) wrap(wrappers []wrapper) error {
	for i := range p.stores {
		s := &p.stores[i]
		for _, wrap := range wrappers {
			if s.strategy == nil {
				break
			}
			if err := run(wrap.option, wrap.function, func() { s.strategy = wrap.wrap(s.name, s.strategy) }); err != nil {
				return err
			}
			if absent.Is(s.strategy) {
				return fmt.Errorf("fxcache.%s: the function returned no strategy", wrap.option)
			}
		}
	}
	return nil
}

// sessions plans the session cache.
func (p *planner) sessions() error {
	byName, names, err := index(p.in.SessionFactories, func(f sessioncache.Factory) (string, bool) { return f.Name, f.New != nil },
		reflect.TypeFor[sessionSection](), defaultSessions, noopSessions)
	if err != nil {
		return err
	}
	section := sessionSection{Strategy: defaultSessions, Options: sessioncache.Options{}.WithDefaults(), known: names, stores: p.stores}
	section.unselected = unselected(p.source, sessionPath, names, defaultSessions)
	invalid := p.source.Decode(sessionPath, &section, names...)
	if name, ok := p.source.Text(sessionPath + ".strategy"); ok {
		section.Strategy = name
	}
	planned := &p.plan.sessions
	planned.strategy = section.Strategy
	switch factory, custom := byName[section.Strategy]; {
	case custom:
		planned.custom, err = newStrategy(sessionPath, factory.Name, func() (sessioncache.Strategy, error) {
			return factory.New(p.source.At(sessionPath + "." + factory.Name))
		})
	case section.Strategy == defaultSessions && invalid == nil:
		for _, change := range p.in.SessionOptions {
			if err := run("SessionOptions", change, func() { change(&section.Options) }); err != nil {
				return err
			}
		}
		planned.options = section.WithDefaults()
		err = p.place(&section, planned.options.Prefix)
	}
	return config.Join(invalid, err)
}

// place makes what the section says about storage that of the session cache, which has that name.
func (p *planner) place(section *sessionSection, name string) error {
	if p.plan.caches == nil || section.Store == "" && section.L1 == nil && section.L1TTL == nil {
		return nil
	}
	sessions := p.plan.caches[name]
	differs := func(key string) error {
		return &config.Error{Problems: []config.Problem{{Path: sessionPath + "." + key,
			Message: fmt.Sprintf("differs from cache.caches.%s.%s: remove one of the two", name, key)}}}
	}
	if sessions.Store != "" && section.Store != "" && sessions.Store != section.Store {
		return differs("store")
	}
	if sessions.L1 != nil && section.L1 != nil && *sessions.L1 != *section.L1 {
		return differs("l1")
	}
	if sessions.L1TTL != nil && section.L1TTL != nil && *sessions.L1TTL != *section.L1TTL {
		return differs("l1_ttl")
	}
	sessions.Store = cmp.Or(section.Store, sessions.Store)
	sessions.L1, sessions.L1TTL = cmp.Or(section.L1, sessions.L1), cmp.Or(section.L1TTL, sessions.L1TTL)
	p.plan.caches[name] = sessions
	return nil
}

// newService makes the Service of a plan.
func (p *plan) newService() (*cache.Service, error) {
	return cache.NewService(p.stores[0].strategy, p.stores[0].options, p.parts()...)
}

// parts returns what a Service has beside the store named "default".
func (p *plan) parts() []cache.Part {
	parts := []cache.Part{p.caches}
	for _, s := range p.stores[1:] {
		parts = append(parts, cache.Store{Name: s.name, Strategy: s.strategy, Options: s.options})
	}
	return parts
}

// newSessions makes the session strategy of a plan.
func (p *plan) newSessions(service *cache.Service) (sessioncache.Strategy, error) {
	switch {
	case p.sessions.custom != nil:
		return p.sessions.custom, nil
	case p.sessions.strategy == noopSessions:
		return sessioncache.Noop{Clock: service.Options().Clock}, nil
	default:
		return sessioncache.New(p.sessions.options)
	}
}

// locate turns an invalid option into a config.Error with the full path, like the errors of the
// options that the configuration itself can check. Only Init can check some of those.
func (p *plan) locate(err error) error {
	path := cachePath
	var store *cache.StoreError // about the options of the store, even if only Init could tell
	var failed *cache.Error
	byStore := errors.As(err, &store)
	byStrategy := !byStore && errors.As(err, &failed) && failed.Op == "start"
	for _, s := range p.stores {
		switch {
		case byStore && store.Name == s.name:
			path = s.path
		case byStrategy && failed.Store == s.name:
			path = s.path + "." + s.options.StrategyName
			var option *cache.OptionError
			if errors.As(err, &option) && slices.ContainsFunc(s.uses, func(name string) bool { return strings.HasPrefix(option.Name, name+".") }) {
				path = s.path
			}
		}
	}
	return locate(err, path)
}

// publicName matches namespaces that are no URL, key or list of settings by mistake.
var publicName = regexp.MustCompile(`^[A-Za-z0-9._:/-]{1,64}$`)

// describe is how the log names a store at start.
func describe(s cache.StoreInfo) []any {
	namespace := s.Namespace
	if !publicName.MatchString(namespace) {
		namespace = "(not shown: it has other characters than those of names)"
	}
	attributes := []any{"store", s.Name, "strategy", s.Strategy, "namespace", namespace}
	if where := strings.TrimSpace(s.Location); where != "" {
		attributes = append(attributes, "location", where)
	}
	return attributes
}
