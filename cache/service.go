package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/absent"
)

// Service is the CacheService of the seed: what applications call, directly or through [Cache]. It
// owns everything that is the same for every storage: keys and their namespace, encoding, limits,
// deadlines, errors and telemetry. Create it with NewService; all methods are safe for concurrent
// use.
type Service struct {
	options  Options
	prefix   string // of every key and tag: the namespace
	codecTag byte
	features driver.Features // of strategy, with a fence of this process around one without leases
	leaser   driver.Leaser   // features.Leaser
	storage  storage
	// leaseTTL is how long a lease is good at the most, and leaseTerm how long if nobody extends it.
	leaseTTL, leaseTerm time.Duration
	meter               metric.Meter

	phase     atomic.Int32
	lifecycle sync.Mutex // held by Start and Stop
	metrics   metric.Registration
	loads     loads
	breaker   breaker
	owed      owed
	ordinary  loaders
	reserved  loaders // of caches with Policy.Reserved
	names     names
	shapes    sync.Map     // of values that Service itself stores and reads: reflect.Type → *shape
	discards  atomic.Int64 // when damaged entries may be discarded again: Unix nanoseconds

	counters                                                              counters
	readWarning, fillWarning, corruptWarning, owedWarning, refreshWarning throttle
}

// The phases of a Service.
const (
	phaseNew int32 = iota
	phaseStarted
	phaseStopped
)

// NewService returns a Service over strategy, which belongs to it from now on. Zero fields of
// options mean their defaults; an unusable value is an [OptionError], as is the default namespace where the
// strategy is [Shared]. Nothing is started.
func NewService(strategy driver.Strategy, options Options) (service *Service, err error) {
	defer asPanicError(&err) // of a codec or a meter provider
	if absent.Is(strategy) {
		return nil, errors.New("cache: NewService needs a strategy")
	}
	options = options.WithDefaults()
	if options.StrategyName == "" {
		options.StrategyName = reflect.TypeOf(strategy).String()
	}
	if err := options.Validate(); err != nil {
		return nil, err
	}
	features := driver.FeaturesOf(strategy)
	if features.Shared != nil && options.Namespace == defaultNamespace {
		return nil, &OptionError{Name: "namespace", Reason: fmt.Sprintf("must be set, to anything but %q, because the storage of %s is shared: "+
			"two applications that have the same would read each other's entries, and a session of one would be good for the other",
			defaultNamespace, options.StrategyName)}
	}
	s := &Service{
		options:  options,
		prefix:   options.KeyPrefix(),
		codecTag: codecTag(options.Codec.Name()),
		meter:    options.MeterProvider.Meter("github.com/fxcache/fxcache/cache"),
		breaker:  breaker{failures: options.BreakerFailures, pause: options.BreakerPause, timeout: options.Timeout},
		storage:  storageOf(features, options),
	}
	for _, of := range []*loaders{&s.ordinary, &s.reserved} {
		of.outage.free, of.refresh.free = options.MaxConcurrentLoads, options.MaxConcurrentLoads
	}
	s.owed.paying, s.owed.writing = make(chan struct{}, 1), make(chan struct{}, 1)
	if s.features = features; features.Leaser == nil {
		s.features = newFenced(strategy, features, options.Clock).Features()
	}
	s.leaser = s.features.Leaser
	s.measureLeases()
	return s, nil
}

// Format implements fmt.Formatter: no verb and no flag prints the keys and tags that are within.
func (s *Service) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "cache.Service") }

// Options returns the options in force, complete.
func (s *Service) Options() Options { return s.options }

// Get decodes the entry of key into target, a pointer. A miss is false and nil, and leaves target
// alone, as far as the codec does. An entry that is damaged is a miss, and is deleted if that is possible at once.
// One that was stored as another type is a miss, and stays; whether Set was given a pointer does not matter,
// and a pointer to an interface takes any. Get sees what Set has stored, and no entry of a [Cache].
func (s *Service) Get(ctx context.Context, key string, target any) (found bool, err error) {
	t := reflect.TypeOf(target)
	if t == nil || t.Kind() != reflect.Pointer || reflect.ValueOf(target).IsNil() {
		return false, s.fail("get", fmt.Errorf("%w: the target must be a pointer that is not nil, not %v", ErrEncoding, t))
	}
	physical, err := s.key(key)
	if err != nil {
		return false, s.fail("get", err)
	}
	if s.unreadable(ctx, physical) {
		return false, nil
	}
	sealed, found, err := s.read(ctx, physical, nil, false)
	if err != nil || !found {
		return false, err
	}
	e, err := s.decode(s.untyped(t.Elem()), sealed, target)
	if err == nil && (e.absent || e.stamp != stamp{}) { // Set writes neither
		err = errDamaged
	}
	if err != nil {
		s.undecoded(ctx, physical, err)
		return false, nil
	}
	s.counters.hits.Add(1)
	return true, nil
}

// Set stores value under key until opts.TTL ends, replacing a previous entry whole. When Set is
// refused (ErrInvalidTTL, ErrTooManyTags, ErrValueTooLarge, ErrEncoding) or fails, the previous
// value is no longer readable either, as far as the storage can be reached.
//
// A Set that runs beside a Delete or InvalidateTags may win. Where value was read from a database,
// use Cache.GetOrLoad or Cache.Update, which cannot.
func (s *Service) Set(ctx context.Context, key string, value any, opts SetOptions) error {
	physical, err := s.key(key)
	if err != nil {
		return s.fail("set", err)
	}
	if err := s.ready(); err != nil {
		return s.fail("set", err)
	}
	opts, err = s.limit(opts)
	var sealed []byte
	if err == nil {
		sealed, err = s.encode(s.untyped(reflect.TypeOf(value)), value, stamp{})
	}
	return s.set(ctx, physical, sealed, opts, err)
}

// Delete removes keys. It returns nil only when all of them are gone; otherwise, where the storage is to
// blame, a [PendingError], and they are being tried again.
func (s *Service) Delete(ctx context.Context, keys ...string) error {
	physical := make([]string, len(keys))
	for i, key := range keys {
		var err error
		if physical[i], err = s.key(key); err != nil {
			return s.fail("delete", err)
		}
	}
	return s.delete(ctx, s.options.MaxTTL, physical...)
}

// InvalidateTags makes every entry that carries any of tags, and was stored before, unreadable. It
// returns nil only when that is done; otherwise as Delete.
func (s *Service) InvalidateTags(ctx context.Context, tags ...string) error {
	physical, err := s.tags(tags)
	if err != nil {
		return s.fail("invalidate", err)
	}
	return s.revoke(ctx, "invalidate", ofTags, physical, s.options.MaxTTL, func(ctx context.Context) error {
		return s.leaser.InvalidateTags(ctx, physical...)
	})
}

// Clear makes every entry unreadable. Where the strategy has to look for the entries that may take longer
// than Options.Timeout; it is tried for ten seconds, and then as Delete. It is ErrUnsupported where the strategy is no [Clearer];
// a tag that all entries carry does the same there.
func (s *Service) Clear(ctx context.Context) error {
	return s.revoke(ctx, "clear", ofAll, nil, s.options.MaxTTL, s.clear)
}

// key returns the physical form of a key of Service's own: that of a cache without a name, which there is not, so
// that it is never one of a [Cache].
func (s *Service) key(key string) (string, error) {
	if err := s.check(key); err != nil {
		return "", err
	}
	return s.prefix + ":" + key, nil
}

// check checks a key or tag.
func (s *Service) check(name string) error {
	if name == "" || driver.Size(len(name)) > s.options.MaxKeyBytes {
		return ErrInvalidKey
	}
	return nil
}

// tags returns the physical form of tags.
func (s *Service) tags(tags []string) ([]string, error) {
	if len(tags) == 0 {
		return nil, nil
	}
	physical := make([]string, len(tags))
	for i, tag := range tags {
		if err := s.check(tag); err != nil {
			return nil, err
		}
		physical[i] = s.prefix + tag
	}
	return physical, nil
}

// read returns the entry of a physical key, still encoded. Where known, its tags are expected to be
// tags. It counts misses and errors; the caller counts the hit once it could decode it.
func (s *Service) read(ctx context.Context, physical string, tags []string, known bool) (sealed []byte, found bool, err error) {
	if err := s.ready(); err != nil {
		return nil, false, s.fail("get", err)
	}
	sealed, found, err = s.fetch(ctx, physical, tags, known)
	if err != nil {
		s.counters.errors.Add(1)
		return nil, false, s.fail("get", err)
	}
	if !found {
		s.counters.misses.Add(1)
	}
	return sealed, found, nil
}

// fetch is read without counting.
func (s *Service) fetch(ctx context.Context, physical string, tags []string, known bool) (sealed []byte, found bool, err error) {
	defer s.recovered("get", &err)
	if err = s.mayHit(ctx); err != nil {
		return nil, false, err
	}
	err = s.guarded(ctx, "get", func(bounded context.Context) (err error) {
		if known && s.features.Hinted != nil {
			sealed, found, err = s.features.Hinted.GetHinted(bounded, physical, tags)
		} else {
			sealed, found, err = s.leaser.Get(bounded, physical)
		}
		return err
	})
	return sealed, found, err
}

// set stores what was sealed. If refusal says that it cannot be, or ctx that it must not, the entry that
// should have been replaced must not stay readable.
func (s *Service) set(ctx context.Context, physical string, sealed []byte, opts SetOptions, refusal error) (err error) {
	if refusal != nil || ReadsThrough(ctx) {
		err = errors.Join(refusal, s.hide(ctx, s.options.MaxTTL, physical))
	} else {
		err = s.call(ctx, "set", func(ctx context.Context) error {
			return s.leaser.Set(ctx, physical, sealed, opts)
		})
	}
	if err != nil {
		s.counters.setErrors.Add(1)
		return s.fail("set", err)
	}
	s.counters.sets.Add(1)
	return nil
}

// limit makes opts physical, within the limits.
func (s *Service) limit(opts SetOptions) (physical SetOptions, err error) {
	switch {
	case opts.TTL < 0:
		return opts, ErrInvalidTTL
	case opts.TTL == 0:
		opts.TTL = s.options.DefaultTTL
	}
	if opts.TTL == 0 || opts.TTL > s.options.MaxTTL {
		opts.TTL = s.options.MaxTTL
	}
	if len(opts.Tags) > s.options.MaxTags {
		return opts, ErrTooManyTags
	}
	opts.Tags, err = s.tags(opts.Tags)
	return opts, err
}

// hide deletes the entries that refused ones should have replaced.
func (s *Service) hide(ctx context.Context, bound time.Duration, physical ...string) error {
	if len(physical) == 0 {
		return nil
	}
	return s.delete(ctx, bound, physical...)
}

// delete removes the entries of physical keys, none of which lives longer than bound.
func (s *Service) delete(ctx context.Context, bound time.Duration, physical ...string) error {
	return s.revoke(ctx, "delete", ofKeys, physical, bound, func(ctx context.Context) error {
		return s.leaser.Delete(ctx, physical...)
	})
}

// revoke runs a deletion or invalidation of names. One that fails is owed from then on.
func (s *Service) revoke(ctx context.Context, op string, kind revocationKind, names []string, bound time.Duration, apply func(context.Context) error) error {
	err := s.ready()
	if err == nil {
		call := s.owed.calls.Add(1)
		if kind == ofAll {
			err = s.callWithin(ctx, op, owedPatience, apply)
		} else {
			err = s.call(ctx, op, apply)
		}
		switch {
		case err == nil && s.owed.pending.Load() > 0:
			s.settle(call, s.revocations(kind, names), false)
			s.retryOwed() // for the outbox
		case err != nil && !isRefusal(err) && !isApplied(err):
			if owed := s.revocations(kind, names); len(owed) > 0 {
				err = s.owe(ctx, call, owed, bound, err)
			}
		}
	}
	if err != nil {
		s.counters.deleteErrors.Add(1)
		return s.fail(op, err)
	}
	s.counters.deletes.Add(1)
	return nil
}

// call runs one operation on the strategy within the deadline.
func (s *Service) call(ctx context.Context, op string, operation func(context.Context) error) error {
	return s.callWithin(ctx, op, s.options.Timeout, operation)
}

func (s *Service) callWithin(ctx context.Context, op string, timeout time.Duration, operation func(context.Context) error) (err error) {
	defer s.recovered(op, &err)
	bounded, cancel := s.bounded(ctx, timeout)
	defer cancel()
	return s.cause(ctx, timeout, operation(bounded))
}

// bounded gives ctx the deadline of one operation.
func (s *Service) bounded(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if s.features.Immediate {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// cause says ErrUnavailable where it was the operation's deadline that ended it, not the caller's.
func (s *Service) cause(ctx context.Context, timeout time.Duration, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("%w: no answer within %v: %w", ErrUnavailable, timeout, err)
	}
	return err
}

func (s *Service) ready() error {
	switch s.phase.Load() {
	case phaseStarted:
		return nil
	case phaseNew:
		return ErrNotStarted
	default:
		return ErrClosed
	}
}

// fail wraps err in an Error, once.
func (s *Service) fail(op string, err error) error {
	if _, wrapped := err.(*Error); wrapped { //nolint:errorlint // only an Error on the outside counts
		return err
	}
	return &Error{Op: op, Strategy: s.options.StrategyName, Err: err}
}

// recovered turns a panic of the strategy into an error. Deferred.
func (s *Service) recovered(op string, err *error) {
	if value := recover(); value != nil {
		*err = s.fail(op, newPanicError(value))
	}
}
