package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"unsafe"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/entry"
	"github.com/fxcache/fxcache/internal/chain"
	"github.com/fxcache/fxcache/internal/panics"
)

// Cache is a typed, read-through view on a [Service] (Vendure's Cache, which createCache makes).
// Values of type T are stored under the cache's own name, so that two caches may use the same keys.
// All methods are safe for concurrent use. Errors are as those of Service.
//
// Every caller gets a value of its own: changing it changes nobody else's.
type Cache[T any] struct {
	service *Service
	named   *namedCache
	store   *store
	prefix  string // physical: namespace and name
	hashed  bool   // Policy.HashKeys
	values  *values[T]
	loader  *loader[T]
}

// New returns the cache of that name. An unusable policy is an [OptionError]. So is each part of T
// that would not come back from the codec, and its Name is the way there, for example
// "T.Orders[].secret"; see Policy.DropsFields. If service has a
// cache of that name already, T and the policy must be the same; otherwise New returns a
// [NameError].
func New[T any](service *Service, name string, policy Policy[T]) (*Cache[T], error) {
	if service == nil {
		return nil, errors.New("cache: New needs a service")
	}
	if service.main() == nil {
		return nil, service.main().fail("start", errors.New("NewService has not made this Service"))
	}
	named := service.caches.at(name, service.main())
	store := named.store
	if err := policy.validate(name, *store.options()); err != nil {
		return nil, fmt.Errorf("cache %q: %w", name, err)
	}
	if err := accepts(named.options.Load(), name, policy); err != nil {
		return nil, fmt.Errorf("cache %q: %w", name, err)
	}
	policy.Tags = slices.Clone(policy.Tags)
	tags, err := store.tags(policy.Tags)
	if err != nil {
		return nil, fmt.Errorf("cache %q: %w", name, err)
	}
	typ := store.codecOf(named).TypeOf(reflect.TypeFor[T](), policy.Version, policy.Tags)
	if err := fit(typ, policy.DropsFields); err != nil {
		return nil, fmt.Errorf("cache %q: %w", name, err)
	}
	if err := service.caches.claim(named, traits(policy)); err != nil {
		return nil, err
	}
	values := newValues(named, policy, tags, typ)
	return &Cache[T]{
		service: service,
		named:   named,
		store:   store,
		prefix:  store.prefix + escapeName(name) + ":",
		hashed:  policy.HashKeys,
		values:  values,
		loader:  newLoader(service, named, values),
	}, nil
}

// fit returns an error if values of a type do not come back.
func fit(typ *entry.Type, dropsFields bool) error {
	var errs []error
	for _, loss := range typ.Losses() {
		switch {
		case !loss.Dropped:
			errs = append(errs, &OptionError{Name: loss.Path, Reason: loss.Reason})
		case !dropsFields:
			errs = append(errs, &OptionError{Name: loss.Path, Reason: loss.Reason + "; if that is meant, set Policy.DropsFields"})
		}
	}
	return errors.Join(errs...)
}

// Format implements fmt.Formatter: no verb and no flag prints the keys that are within.
func (c *Cache[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "cache.Cache") }

// Get returns the entry of key. A miss is false and nil. Zero values are hits like any other. A
// damaged entry is a miss, and is deleted if that is possible at once. An entry of another release,
// type or codec is a miss, and stays. An entry past its TTL is a miss, even with Policy.StaleFor.
// So is an entry that the caller is loading or writing, and every entry with [ReadThrough].
func (c *Cache[T]) Get(ctx context.Context, key string) (value T, found bool, err error) {
	physical, err := c.key(key)
	if err != nil {
		return value, false, c.fail("get", err)
	}
	if c.unreadable(ctx, physical) {
		return value, false, nil
	}
	value, e, found, err := c.get(ctx, physical)
	if err != nil || !found || !c.values.counted(e) {
		var zero T
		return zero, false, err
	}
	return value, true, nil
}

// GetOrLoad returns the entry of key, or else what load returns, which it stores. Errors of load
// come back as they are. load returns ErrNotFound if there is nothing.
//
// load runs once for all callers that wait for the same key, in a goroutine of its own, with the
// values of its caller's context. A caller whose context ends returns at once. The load goes on for
// the others, and is cancelled when nobody is left. If a load fails after its own caller's context
// has ended, it fails for that caller alone, unless with ErrNotFound: the others go on with the
// load of the next one. A panic in load reaches every waiting caller as a [PanicError].
//
// The TTL counts from the start of the load. A load that takes longer than that is not stored, and
// neither is one that outlives its lease (driver.LeaseExtender). Both are logged.
//
// load must use the context that it gets. Then a load that reaches its own key gets
// ErrRecursiveLoad, and one that waits for another's load waits no longer than lock_wait and then
// runs its own. Within a write of the key, and with [ReadThrough], load runs at once, for this
// caller alone, and nothing is stored. load may ask [Previous] for the value that it replaces, and
// return ErrNotModified.
//
// What load read before an invalidation is never stored after it, and never handed to a caller that
// came after it. If the strategy fails, load runs, and its value is returned and not stored.
func (c *Cache[T]) GetOrLoad(ctx context.Context, key string, load func(context.Context) (T, error)) (T, error) {
	var zero T
	if load == nil {
		return zero, c.fail("load", panics.ErrNil)
	}
	physical, err := c.key(key)
	if err != nil {
		return zero, c.fail("load", err)
	}
	if err := c.store.ready(); err != nil {
		return zero, c.fail("load", err)
	}
	if within := chain.From(ctx); within != nil {
		switch within.To(entryID{c.store, physical}) {
		case chain.Loading:
			return zero, c.fail("load", ErrRecursiveLoad)
		case chain.Writing:
			return c.loader.alone(ctx, chain.Load, physical, load)
		case chain.Apart:
		}
	}
	if !c.named.enabled() {
		return c.loader.alone(ctx, chain.Load, physical, load)
	}
	value, e, found, err := c.get(ctx, physical)
	switch {
	case err != nil && ctx.Err() != nil:
		return zero, err
	case err != nil:
		c.store.logger.warn(ctx, ofReads, "cache: reads fail; loading instead", err)
	case found:
		verdict, err := c.values.judge(value, e)
		if err != nil {
			return zero, c.fail("load", err)
		}
		if verdict != serveStale {
			c.values.counted(e)
		}
		switch verdict {
		case serveStale:
			return c.loader.pastTTL(ctx, physical, value, e.Stamp, load)
		case serve:
			if c.values.early(e.Stamp) {
				c.loader.refresh(ctx, physical, e.Stamp, load)
			}
			return value, nil
		case serveNothing:
			return zero, ErrNotFound
		case reload:
		}
	}
	return c.loader.load(ctx, physical, load, err != nil)
}

// Update stores what write returns, which must have written it to the database and committed. It is
// the twin of GetOrLoad for changes: an invalidation between the write and the storing wins. If the
// error is nil, no later Get returns what was stored before. write may read the key through the
// cache: it gets what the loader returns.
//
// An error of write comes back as it is. The entry is deleted, because the write may have been done
// all the same, unless the error wraps ErrUnchanged. If that fails as well, both errors are joined.
// An error beside the value of a write that succeeded says that an older entry may still be
// readable.
func (c *Cache[T]) Update(ctx context.Context, key string, write func(context.Context) (T, error)) (value T, err error) {
	if write == nil {
		return value, c.fail("update", panics.ErrNil)
	}
	physical, err := c.key(key)
	if err != nil {
		return value, c.fail("update", err)
	}
	if err := c.store.ready(); err != nil {
		return value, c.fail("update", err)
	}
	value, err = c.loader.write(ctx, physical, write)
	return value, written(ctx, "update", 1, err, c.store)
}

// Set stores value under key, as Service.Set does.
func (c *Cache[T]) Set(ctx context.Context, key string, value T) error {
	physical, err := c.key(key)
	if err != nil {
		return c.fail("set", err)
	}
	if err := c.store.ready(); err != nil {
		return c.fail("set", err)
	}
	encoded, opts, store, err := c.values.encode(value, nil, 0)
	if err == nil && !store {
		if err = c.loader.deleteReplaced(ctx, physical); err != nil {
			err = c.fail("set", err)
		}
	} else {
		err = c.store.set(ctx, physical, encoded, opts, c.through(ctx), err)
	}
	return written(ctx, "set", 1, err, c.store)
}

// Delete removes the entries of keys, however many, in one call of the strategy. It returns nil
// only if all of them are gone; otherwise as Service.Delete.
func (c *Cache[T]) Delete(ctx context.Context, keys ...string) error {
	physical, invalid := c.store.usable(keys, c.key)
	err := c.store.revoke("delete", len(physical), invalid, func(d *door) error {
		return d.delete(ctx, c.values.bound(), physical)
	})
	return propagated(ctx, "delete", len(keys), err, c.store)
}

// InvalidateTags is Service.InvalidateTags: tags are shared by all caches of a Service.
func (c *Cache[T]) InvalidateTags(ctx context.Context, tags ...string) error {
	return c.service.InvalidateTags(ctx, tags...)
}

// through reports whether nothing is to be read and stored for the code that has ctx.
func (c *Cache[T]) through(ctx context.Context) bool { return ReadsThrough(ctx) || !c.named.enabled() }

// unreadable reports whether an entry is a miss for the code that has ctx, whatever is stored.
func (c *Cache[T]) unreadable(ctx context.Context, physical string) bool {
	if !c.named.enabled() && c.store.ready() == nil {
		c.store.counters.misses.Add(1)
		return true
	}
	return c.store.unreadable(ctx, physical)
}

func (c *Cache[T]) fail(op string, err error) error { return c.store.fail(op, err) }

// key returns the physical form of key, in one allocation.
func (c *Cache[T]) key(key string) (string, error) {
	if key == "" {
		return "", ErrInvalidKey
	}
	if c.hashed {
		digest := sha256.Sum256(unsafe.Slice(unsafe.StringData(key), len(key))) //nolint:gosec // saves a copy; Sum256 only reads
		return c.prefix + unsafe.String(&digest[0], len(digest)), nil           //nolint:gosec // saves a copy; + copies
	}
	if driver.Size(len(c.prefix)-len(c.store.prefix)+len(key)) > c.store.options().MaxKeyBytes {
		return "", ErrInvalidKey
	}
	return c.prefix + key, nil
}

// get reads and decodes an entry, of any age. It counts misses and errors, and leaves it to the
// caller to count what was found.
func (c *Cache[T]) get(ctx context.Context, physical string) (value T, e entry.Entry, found bool, err error) {
	encoded, found, err := c.store.read(ctx, physical, c.values.expected())
	if err != nil || !found {
		return value, e, false, err
	}
	if value, e, err = c.values.decode(encoded); err != nil {
		c.store.undecoded(ctx, physical, err)
		var zero T
		return zero, e, false, nil
	}
	return value, e, true, nil
}
