package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/absent"
)

// divide returns the stores and the caches among the arguments of NewService.
func divide(main Store, parts []Part) (stores []Store, configured Caches) {
	stores, configured = []Store{main}, Caches{}
	for _, part := range parts {
		switch part := part.(type) {
		case Store:
			stores = append(stores, part)
		case Caches:
			maps.Copy(configured, part)
		}
	}
	return stores, configured
}

// storeChange is what Reconfigure is about to do to a store.
type storeChange struct {
	store   *store
	options Options
	next    *door // nil: the storage stays
}

// planChange checks the new options of a store.
func planChange(s *store, given Store, common Options) (*storeChange, error) {
	old := s.options()
	options := given.Options
	if s.name == defaultStore {
		options = options.WithDefaults()
	} else {
		options = options.inherit(common)
	}
	options.Codec, options.Clock, options.Logger, options.MeterProvider = old.Codec, old.Clock, old.Logger, old.MeterProvider
	if options.StrategyName == "" {
		options.StrategyName = old.StrategyName
	}
	if err := options.Validate(); err != nil {
		return nil, err
	}
	options.LockWait = max(0, options.LockWait)
	change := &storeChange{store: s, options: options}
	if absent.Is(given.Strategy) {
		ds := s.doors.Load()
		if options.Namespace != ds.newest().namespace {
			return nil, &OptionError{Name: "namespace", Reason: "cannot change without a new storage"}
		}
		err := acceptsLimits(ds.newest(), options)
		if err == nil { // it is still in use for a while
			err = acceptsLimits(ds.current, options)
		}
		return change, err
	}
	features := driver.FeaturesOf(given.Strategy)
	if err := checkNamespace(features, options); err != nil {
		return nil, err
	}
	change.next = newDoor(s, features, given.Strategy, options)
	return change, nil
}

// acceptsLimits reports limits that the strategy in use cannot take. It was initialised with
// others.
func acceptsLimits(d *door, options Options) error {
	if d.features.Limiter != nil {
		return d.checkLimits(options)
	}
	limits := d.limitsOf(options)
	var errs []error
	old := d.limits
	for _, limit := range []struct {
		name     string
		old, new int64
	}{
		{"max_ttl", int64(old.MaxTTL), int64(limits.MaxTTL)},
		{"max_key_bytes", int64(old.MaxKeyBytes), int64(limits.MaxKeyBytes)},
		{"max_value_bytes", int64(old.MaxValueBytes), int64(limits.MaxValueBytes)},
		{"max_tags", int64(old.MaxTags), int64(limits.MaxTags)},
	} {
		if limit.new > limit.old {
			errs = append(errs, &OptionError{Name: limit.name, Reason: fmt.Sprintf(
				"cannot be raised while the application runs: the strategy %s was initialised with less, and is no driver.Limiter", d.strategyName)})
		}
	}
	return errors.Join(errs...)
}

// undo destroys the new strategy.
func (c *storeChange) undo(ctx context.Context) error {
	if c.next == nil {
		return nil
	}
	c.next.pending.Close()
	return undo(ctx, c.next.destroy)
}

// apply makes the change. Nothing can fail any more.
func (c *storeChange) apply() {
	s, options := c.store, c.options
	s.live.Store(&options)
	s.codec.SetLimit(options.MaxValueBytes)
	s.admissions.resize(options.MaxConcurrentLoads)
	for _, d := range s.doors.Load().all() {
		d.configure(options)
	}
	if c.next != nil {
		s.replace(c.next)
	}
}

// check reports what the configuration may not change about caches while the application runs.
func (c *caches) check(configured Caches, stores []*store) error {
	errs := []error{configured.Validate()}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(configured)) {
		options := configured[name]
		i := slices.IndexFunc(stores, func(s *store) bool { return s.name == options.storeName() })
		if i < 0 {
			errs = append(errs, options.unknownStore(name, stores))
			continue
		}
		if named, there := c.byName[name]; there && named.traits != nil {
			errs = append(errs, within("caches."+name, named.check(&options, stores[i])))
		}
	}
	for name, named := range c.byName {
		if _, there := configured[name]; !there && named.traits != nil {
			errs = append(errs, within("caches."+name, named.check(new(CacheOptions), stores[0])))
		}
	}
	return errors.Join(errs...)
}

// check reports what may not change about a cache that exists.
func (c *namedCache) check(options *CacheOptions, store *store) error {
	var errs []error
	if c.store != store {
		errs = append(errs, &OptionError{Name: "store", Reason: "cannot change while the application runs: restart it"})
	}
	if old := c.options.Load().Codec; codecName(old) != codecName(options.Codec) {
		errs = append(errs, &OptionError{Name: "codec", Reason: "cannot change while the application runs: restart it"})
	}
	if slices.Contains(c.traits, trait{"Fresh", true}) {
		errs = append(errs, options.acceptedWithFresh())
	}
	return errors.Join(errs...)
}

func codecName(codec Codec) string {
	if absent.Is(codec) {
		return ""
	}
	return codec.Name()
}

// apply puts the operator's new word into force.
func (c *caches) apply(configured Caches) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, named := range c.byName {
		options := configured[name] // the zero value if it is not configured any more
		named.options.Store(&options)
		if _, there := configured[name]; !there && named.traits == nil {
			delete(c.byName, name)
		}
	}
	for name, options := range configured {
		if _, there := c.byName[name]; !there {
			named := &namedCache{name: name, store: c.stores[options.storeName()]}
			named.options.Store(&options)
			c.byName[name] = named
		}
	}
}
