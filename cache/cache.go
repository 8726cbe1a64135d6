package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"
	"unsafe"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/chain"
)

// Cache is the Cache of the seed (createCache): a typed, read-through view on a [Service]. Values of
// type T are stored under the cache's own name, so that two caches may use the same keys. All
// methods are safe for concurrent use; errors are as those of Service.
//
// Every caller gets a value of its own: changing it changes nobody else's.
type Cache[T any] struct {
	service *Service
	name    string
	policy  Policy[T]
	prefix  string // physical: namespace and name
	tags    []string
	shape   *shape
	flights flights[T]
	// refreshing are the keys for which no refresh may be started now.
	refreshing keySet
	random     func() float64 // in [0, 1)
	// hungWarning and slowWarning are of this cache alone, because the warnings name it.
	hungWarning, slowWarning throttle
}

// New returns the cache of that name. An unusable policy is an [OptionError]. Where service has a cache of
// that name already, T and the policy must be the same, or New returns a [NameError].
func New[T any](service *Service, name string, policy Policy[T]) (*Cache[T], error) {
	if service == nil {
		return nil, errors.New("cache: New needs a service")
	}
	if err := policy.validate(name, service.options); err != nil {
		return nil, fmt.Errorf("cache %q: %w", name, err)
	}
	policy.Tags = slices.Clone(policy.Tags)
	tags, err := service.tags(policy.Tags)
	if err != nil {
		return nil, fmt.Errorf("cache %q: %w", name, err)
	}
	if err := service.names.claim(name, traits(policy)); err != nil {
		return nil, err
	}
	shape := service.shapeOf(reflect.TypeFor[T](), policy.Version, policy.Tags)
	return &Cache[T]{
		service: service,
		name:    name,
		policy:  policy,
		prefix:  service.prefix + escapeName(name) + ":",
		tags:    tags,
		shape:   &shape,
		random:  rand.Float64,
	}, nil
}

// Format implements fmt.Formatter: no verb and no flag prints the keys that are within.
func (c *Cache[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "cache.Cache") }

// Get returns the entry of key. A miss is false and nil; zero values are hits like any other. An
// entry that is damaged is a miss, and is deleted if that is possible at once; one of another release, type
// or codec is a miss, and stays. An entry past its TTL is a miss, also with Policy.StaleFor; so is one that
// the caller is loading or writing, and each one with [ReadThrough].
func (c *Cache[T]) Get(ctx context.Context, key string) (value T, found bool, err error) {
	physical, err := c.key(key)
	if err != nil {
		return value, false, c.service.fail("get", err)
	}
	if c.service.unreadable(ctx, physical) {
		return value, false, nil
	}
	value, e, found, err := c.get(ctx, physical)
	if err != nil || !found || !c.counted(e) {
		var zero T
		return zero, false, err
	}
	return value, true, nil
}

// GetOrLoad returns the entry of key, or else what load returns, which it stores. Errors of load come
// back as they are; load returns ErrNotFound where there is nothing.
//
// load runs once for all the callers that wait for the same key, in a goroutine of its own with the
// values of its caller's context. A caller whose context ends returns at once; the load goes
// on for the others, and is cancelled when nobody is left. A load that fails after its own caller's
// context has ended fails for that caller alone, unless with ErrNotFound: the others go on with the load of
// the next one. A panic in load reaches every waiting caller as a [PanicError].
//
// Its TTL counts from the start of the load. One that takes longer than that is not stored, nor is one
// that outlives its lease (LeaseExtender); both are logged.
//
// load must use the context that it gets: a load that reaches its own key is ErrRecursiveLoad then, and
// one that waits for another's load waits for no longer than lock_wait and then runs its own. Within a write
// of the key, and with [ReadThrough], load runs at once, for this caller alone, and nothing is stored.
//
// What load read before an invalidation is never stored after it, and never handed to a caller who
// came after it. When the strategy fails, load runs and its value is returned, not stored.
func (c *Cache[T]) GetOrLoad(ctx context.Context, key string, load func(context.Context) (T, error)) (T, error) {
	var zero T
	physical, err := c.key(key)
	if err != nil {
		return zero, c.service.fail("load", err)
	}
	if err := c.service.ready(); err != nil {
		return zero, c.service.fail("load", err)
	}
	within := chain.From(ctx)
	if within != nil {
		switch within.To(entryID{c.service, physical}) {
		case chain.Loading:
			return zero, c.service.fail("load", ErrRecursiveLoad)
		case chain.Writing:
			return c.alone(ctx, chain.Load, physical, load)
		case chain.Apart:
		}
	}
	value, e, found, err := c.get(ctx, physical)
	switch {
	case err != nil && ctx.Err() != nil:
		return zero, err
	case err != nil:
		c.service.warn(ctx, &c.service.readWarning, "cache: reads fail; loading instead", err)
	case found:
		verdict, err := c.judge(value, e)
		if err != nil {
			return zero, c.service.fail("load", err)
		}
		if verdict != serveStale {
			c.counted(e)
		}
		switch verdict {
		case serveStale:
			c.service.counters.hits.Add(1)
			c.service.counters.staleHits.Add(1)
			c.refresh(ctx, physical, e.stamp, load)
			return value, nil
		case serve:
			if c.early(e.stamp) {
				c.refresh(ctx, physical, e.stamp, load)
			}
			return value, nil
		case serveNothing:
			return zero, ErrNotFound
		case reload:
		}
	}
	return c.join(ctx, within, physical, load, err != nil)
}

// Update stores what write returns, which must have written it to the database and committed. It is
// the twin of GetOrLoad for changes: an invalidation between the write and the storing wins. A nil
// error means that no later Get returns what was stored before. write may read the key through the cache: it
// gets what the loader returns.
//
// An error of write comes back as it is, and the entry is deleted, because the write may have been
// done all the same, unless it wraps ErrUnchanged; where that fails as well, both errors are joined. An error beside the value of
// a write that succeeded says that an older entry may still be readable.
func (c *Cache[T]) Update(ctx context.Context, key string, write func(context.Context) (T, error)) (value T, err error) {
	physical, err := c.key(key)
	if err != nil {
		return value, c.service.fail("update", err)
	}
	if err := c.service.ready(); err != nil {
		return value, c.service.fail("update", err)
	}
	var lease *driver.Lease // without one, the entry is deleted
	if !ReadsThrough(ctx) {
		lease, _ = c.lease(ctx, physical)
	}
	settled := false
	defer func() {
		if settled {
			return
		}
		// Also when write ended the goroutine.
		if failure := c.delete(context.WithoutCancel(ctx), physical); failure != nil {
			err = errors.Join(err, failure)
		}
	}()
	o := c.service.origin(ctx, lease)
	defer o.end() // also when write ended the goroutine
	value, err = c.run(outsideScope(ctx), chain.Write, physical, write)
	o.end()
	if errors.Is(err, ErrUnchanged) {
		if settled = true; lease != nil {
			c.release(context.WithoutCancel(ctx), lease)
		}
		return value, err
	}
	if err == nil && lease != nil {
		// The database has changed, so this must not depend on the caller staying.
		settled = c.fill(context.WithoutCancel(ctx), lease, value, o, 0, false) == stored
	}
	return value, err
}

// Set stores value under key, as Service.Set does.
func (c *Cache[T]) Set(ctx context.Context, key string, value T) error {
	physical, err := c.key(key)
	if err != nil {
		return c.service.fail("set", err)
	}
	if err := c.service.ready(); err != nil {
		return c.service.fail("set", err)
	}
	sealed, opts, store, err := c.seal(value, nil, 0)
	if err == nil && !store {
		if err := c.hide(ctx, physical); err != nil {
			return c.service.fail("set", err)
		}
		return nil
	}
	return c.service.set(ctx, physical, sealed, opts, err)
}

// Delete removes the entries of keys, however many, in one call of the strategy. It returns nil only when
// all of them are gone; otherwise as Service.Delete.
func (c *Cache[T]) Delete(ctx context.Context, keys ...string) error {
	physical := make([]string, len(keys))
	for i, key := range keys {
		var err error
		if physical[i], err = c.key(key); err != nil {
			return c.service.fail("delete", err)
		}
	}
	return c.delete(ctx, physical...)
}

// hide deletes the entries that such as cannot be stored should have replaced.
func (c *Cache[T]) hide(ctx context.Context, physical ...string) error {
	return c.service.hide(ctx, c.bound(), physical...)
}

// delete removes entries of this cache.
func (c *Cache[T]) delete(ctx context.Context, physical ...string) error {
	return c.service.delete(ctx, c.bound(), physical...)
}

// bound is how long an entry of this cache lives at the most.
func (c *Cache[T]) bound() time.Duration {
	return c.policy.longest(c.service.options.MaxTTL)
}

// InvalidateTags is Service.InvalidateTags: tags are shared by all caches of a Service.
func (c *Cache[T]) InvalidateTags(ctx context.Context, tags ...string) error {
	return c.service.InvalidateTags(ctx, tags...)
}

// key returns the physical form of key, in one allocation.
func (c *Cache[T]) key(key string) (string, error) {
	if key == "" {
		return "", ErrInvalidKey
	}
	if c.policy.HashKeys {
		digest := sha256.Sum256(unsafe.Slice(unsafe.StringData(key), len(key))) //nolint:gosec // saves a copy; Sum256 only reads
		return c.prefix + unsafe.String(&digest[0], len(digest)), nil           //nolint:gosec // saves a copy; + copies
	}
	if driver.Size(len(c.prefix)-len(c.service.prefix)+len(key)) > c.service.options.MaxKeyBytes {
		return "", ErrInvalidKey
	}
	return c.prefix + key, nil
}

// get reads and decodes an entry, of any age. It counts misses and errors, and leaves it to the caller to
// count what was found.
func (c *Cache[T]) get(ctx context.Context, physical string) (value T, e envelope, found bool, err error) {
	sealed, found, err := c.service.read(ctx, physical, c.tags, c.policy.TagsOf == nil)
	if err != nil || !found {
		return value, e, false, err
	}
	if value, e, err = c.decode(sealed); err != nil {
		c.service.undecoded(ctx, physical, err)
		var zero T
		return zero, e, false, nil
	}
	return value, e, true, nil
}

// counted counts an entry that was found, and reports whether it is a value within its TTL.
func (c *Cache[T]) counted(e envelope) bool {
	switch {
	case e.absent && c.policy.NegativeTTL > 0:
		c.service.counters.negativeHits.Add(1)
		return false
	case e.absent || e.over(c.service.options.Clock):
		c.service.counters.misses.Add(1)
		return false
	default:
		c.service.counters.hits.Add(1)
		return true
	}
}

// decode is Service.decode. Pointers to types that decode themselves, such as sessions, take a way
// with one allocation less.
func (c *Cache[T]) decode(sealed []byte) (value T, e envelope, err error) {
	if c.shape.self && c.shape.pointed != nil {
		return c.decodePointed(sealed)
	}
	e, err = c.service.decode(c.shape, sealed, &value)
	return value, e, err
}

func (c *Cache[T]) decodePointed(sealed []byte) (value T, e envelope, err error) {
	defer asPanicError(&err)
	e, err = c.shape.open(sealed, c.service.options.MaxValueBytes)
	if err != nil || e.null || e.absent {
		return value, e, err
	}
	target := reflect.New(c.shape.pointed).Interface()
	if err := decodeSelf(c.shape, e.payload, target); err != nil {
		return value, e, err
	}
	return target.(T), e, nil
}

func (c *Cache[T]) fresh(value T) (fresh bool, err error) {
	if c.policy.Fresh == nil {
		return true, nil
	}
	defer asPanicError(&err)
	return c.policy.Fresh(value), nil
}

// protect runs foreign code that loads or writes.
func protect[T any](ctx context.Context, run func(context.Context) (T, error)) (value T, err error) {
	finished := false
	defer func() {
		if !finished { // a panic, or runtime.Goexit with a nil recover
			err = newPanicError(recover())
		}
	}()
	value, err = run(ctx)
	finished = true
	return value, err
}
