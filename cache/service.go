package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/entry"
	"github.com/fxcache/fxcache/cache/internal/revocation"
	"github.com/fxcache/fxcache/cache/internal/task"
	"github.com/fxcache/fxcache/internal/absent"
	"github.com/fxcache/fxcache/internal/panics"
)

// Service is what applications call, directly or through [Cache] (Vendure's CacheService). It owns
// everything that is the same for every storage: keys and their namespace, encoding, limits,
// deadlines, errors and telemetry. Create it with NewService. All methods are safe for concurrent
// use.
//
// A Service has one or more stores. [Caches] say which caches are placed where; everything
// else is in the store "default". Applications need not know.
type Service struct {
	stores []*store // the one named "default" is the first
	caches caches
	tasks  *task.Group
	meter  metric.Meter
	outbox revocation.Outbox // nil: there is none; set by Start
	health health

	phase     atomic.Int32
	lifecycle sync.Mutex                         // held by Start, Stop and Reconfigure
	interrupt atomic.Pointer[context.CancelFunc] // of the Reconfigure that is running
	stopping  atomic.Int32                       // how many Stops there are
	metrics   metric.Registration
}

// The phases of a Service.
const (
	phaseNew int32 = iota
	phaseStarted
	phaseStopped
)

// Store is a further storage of a Service, beside the one named "default".
type Store struct {
	// Name is the store's name in the configuration, other than "default".
	Name string
	// Strategy is the storage. It belongs to the Service.
	Strategy driver.Strategy
	// Options are the store's. A zero field means the value of the same field of the Service's
	// Options. Codec, Clock, Logger and MeterProvider are always those of the Service.
	Options Options
}

// Caches are the operator's word for single caches, by the names of the caches. A name that no
// cache has is reported by [Service.UnusedCaches].
type Caches map[string]CacheOptions

// Part is a [Store] or [Caches], for NewService.
type Part interface{ part() }

func (Store) part()  {}
func (Caches) part() {}

// NewService returns a Service over strategy, which belongs to it from now on, as do the parts.
// Zero fields of options mean their defaults. An unusable value is an [OptionError]. So is the
// default namespace if a strategy is driver.Shared, and one namespace for two stores that share a
// storage. Nothing is started.
func NewService(strategy driver.Strategy, options Options, parts ...Part) (service *Service, err error) {
	defer panics.Catch(&err) // of a codec or a meter provider
	options = options.WithDefaults()
	service = &Service{
		tasks: new(task.Group),
		meter: options.MeterProvider.Meter("github.com/fxcache/fxcache/cache"),
	}
	stores, configured := divide(Store{Name: defaultStore, Strategy: strategy, Options: options}, parts)
	for _, s := range stores {
		if err := service.add(s, options); err != nil {
			return nil, err
		}
	}
	if err := service.apart(); err != nil {
		return nil, err
	}
	if err := service.caches.place(configured, service.stores); err != nil {
		return nil, err
	}
	return service, nil
}

// add makes one store.
func (s *Service) add(given Store, common Options) error {
	first := len(s.stores) == 0 // and not a further one that takes its name
	if absent.Is(given.Strategy) {
		if first {
			return errors.New("cache: NewService needs a strategy")
		}
		return fmt.Errorf("cache: the store %q needs a strategy", given.Name)
	}
	if !first {
		given.Options = given.Options.inherit(common)
	}
	if given.Options.StrategyName == "" {
		given.Options.StrategyName = reflect.TypeOf(given.Strategy).String()
	}
	err := given.Options.Validate()
	if err == nil {
		switch {
		case given.Name == "":
			err = &OptionError{Name: "name", Reason: "must not be empty"}
		case s.store(given.Name) != nil:
			err = &OptionError{Name: "name", Reason: "is given to two stores"}
		}
	}
	if err == nil {
		given.Options.LockWait = max(0, given.Options.LockWait)
		var made *store
		if made, err = newStore(given.Name, given.Strategy, given.Options, &s.phase, s.tasks); err == nil {
			s.stores = append(s.stores, made)
		}
	}
	if err != nil && !first {
		return &StoreError{Name: given.Name, Err: err}
	}
	return err
}

// apart returns an error if two stores have one namespace in one storage.
func (s *Service) apart() error {
	for i, one := range s.stores {
		for _, other := range s.stores[:i] {
			if one.prefix == other.prefix && one.door().sameStorage(other.door()) {
				return &StoreError{Name: one.name, Err: one.door().clash(other.door())}
			}
		}
	}
	return nil
}

// store returns the store of a name, or nil.
func (s *Service) store(name string) *store {
	for _, store := range s.stores {
		if store.name == name {
			return store
		}
	}
	return nil
}

// main returns the store of what is placed nowhere else, or nil in a Service that NewService has
// not made.
func (s *Service) main() *store {
	if len(s.stores) == 0 {
		return nil
	}
	return s.stores[0]
}

// Format implements fmt.Formatter: no verb and no flag prints the keys and tags that are within.
func (s *Service) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "cache.Service") }

// Options returns the options in force of the store "default", complete.
func (s *Service) Options() Options {
	if s.main() == nil {
		return Options{}
	}
	return *s.main().options()
}

// Get decodes the entry of key into target, a pointer. A miss is false and nil, and leaves target
// alone, as far as the codec does. A damaged entry is a miss, and is deleted if that is possible at
// once. An entry that was stored as another type is a miss, and stays. It does not matter whether
// Set was given a pointer, and a pointer to an interface takes any entry. Get sees what Set has
// stored, and no entry of a [Cache].
func (s *Service) Get(ctx context.Context, key string, target any) (found bool, err error) {
	store := s.main()
	if store == nil {
		return false, store.fail("get", ErrNotStarted)
	}
	t := reflect.TypeOf(target)
	if t == nil || t.Kind() != reflect.Pointer || reflect.ValueOf(target).IsNil() {
		return false, store.fail("get", fmt.Errorf("%w: the target must be a pointer that is not nil, not %v", ErrEncoding, t))
	}
	physical, err := store.key(key)
	if err != nil {
		return false, store.fail("get", err)
	}
	if store.unreadable(ctx, physical) {
		return false, nil
	}
	encoded, found, err := store.read(ctx, physical, expected{})
	if err != nil || !found {
		return false, err
	}
	e, err := store.codec.UntypedOf(t.Elem()).Decode(encoded, target)
	if err == nil && (e.Absent || e.Stamp != noStamp) { // Set writes neither
		err = entry.ErrDamaged
	}
	if err != nil {
		store.undecoded(ctx, physical, err)
		return false, nil
	}
	store.counters.hits.Add(1)
	return true, nil
}

// noStamp is the stamp of entries that are not refreshed.
var noStamp entry.Stamp

// Set stores value under key until opts.TTL ends, and replaces a previous entry as a whole. If Set
// is refused (ErrInvalidTTL, ErrTooManyTags, ErrValueTooLarge, ErrEncoding) or fails, the previous
// value is not readable any more either, if the storage can be reached.
//
// If nodes keep entries in their own memory (driver.Propagator), Set returns nil only when no other
// node serves what was there before. See [WithNewKey]. Delete, InvalidateTags, Clear and what a
// [Cache] has of the same name do likewise, and an error is a [PropagationError] if ctx ends
// meanwhile.
//
// A Set that runs at the same time as a Delete or InvalidateTags may win. If value was read from a
// database, use Cache.GetOrLoad or Cache.Update, which cannot.
func (s *Service) Set(ctx context.Context, key string, value any, opts SetOptions) error {
	store := s.main()
	if store == nil {
		return store.fail("set", ErrNotStarted)
	}
	physical, err := store.key(key)
	if err != nil {
		return store.fail("set", err)
	}
	if err := store.ready(); err != nil {
		return store.fail("set", err)
	}
	opts, err = store.limit(opts)
	var encoded []byte
	if err == nil {
		encoded, err = store.codec.UntypedOf(reflect.TypeOf(value)).Encode(value, noStamp)
	}
	err = store.set(ctx, physical, encoded, opts, ReadsThrough(ctx), err)
	return written(ctx, "set", 1, err, store)
}

// Delete removes keys of Service's own. It returns nil only if all of them are gone. Otherwise, if
// the storage is to blame, the error is a [PendingError], and the keys are being tried again. An
// [InvalidKeysError] says that some of keys can name nothing; it holds up none of the others.
func (s *Service) Delete(ctx context.Context, keys ...string) error {
	store := s.main()
	if store == nil {
		return store.fail("delete", ErrNotStarted)
	}
	physical, invalid := store.usable(keys, store.key)
	err := store.revoke("delete", len(physical), invalid, func(d *door) error { return d.delete(ctx, store.options().MaxTTL, physical) })
	return propagated(ctx, "delete", len(keys), err, store)
}

// InvalidateTags makes every entry that carries any of tags, and was stored before, unreadable, in
// every store. It returns nil only if that is done; otherwise as Delete.
func (s *Service) InvalidateTags(ctx context.Context, tags ...string) error {
	if len(s.stores) == 1 { // everywhere allocates
		return propagated(ctx, "invalidate", len(tags), s.main().invalidateTags(ctx, tags), s.stores...)
	}
	all := slices.Clone(tags) // that of the caller stays on its stack
	err := s.everywhere("invalidate", func(store *store) error { return store.invalidateTags(ctx, all) })
	return propagated(ctx, "invalidate", len(tags), err, s.stores...)
}

// Clear makes every entry unreadable, in every store. If a strategy has to look for the entries,
// that may take longer than Options.Timeout. It is tried for ten seconds, and then as Delete. It is
// ErrUnsupported if a strategy is not a driver.Clearer; a tag that all entries carry does the same
// there.
func (s *Service) Clear(ctx context.Context) error {
	err := s.everywhere("clear", func(store *store) error {
		return store.revoke("clear", 1, nil, func(d *door) error { return d.clear(ctx, store.options().MaxTTL) })
	})
	return propagated(ctx, "clear", 1, err, s.stores...)
}

// everywhere runs a revocation in every store, at the same time. A store that fails holds up none
// of the others.
func (s *Service) everywhere(op string, revoke func(*store) error) error {
	switch len(s.stores) {
	case 0:
		return s.main().fail(op, ErrNotStarted)
	case 1:
		return revoke(s.main())
	}
	failures := make([]error, len(s.stores))
	var running sync.WaitGroup
	for i, store := range s.stores {
		running.Go(func() { failures[i] = revoke(store) })
	}
	running.Wait()
	return together(op, failures)
}
