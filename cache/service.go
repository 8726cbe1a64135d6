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
	"github.com/fxcache/fxcache/cache/internal/entry"
	"github.com/fxcache/fxcache/cache/internal/task"
	"github.com/fxcache/fxcache/internal/absent"
	"github.com/fxcache/fxcache/internal/chain"
	"github.com/fxcache/fxcache/internal/panics"
)

// Service is what applications call, directly or through [Cache] (Vendure's CacheService). It owns
// everything that is the same for every storage: keys and their namespace, encoding, limits,
// deadlines, errors and telemetry. Create it with NewService. All methods are safe for concurrent
// use.
type Service struct {
	options    Options
	prefix     string // of every key and tag: the namespace
	codec      *entry.Codec
	store      *store
	tasks      *task.Group // loads, refreshes and retries
	admissions *admissions
	names      names
	counters   counters
	meter      metric.Meter

	phase     atomic.Int32
	lifecycle sync.Mutex // held by Start and Stop
	metrics   metric.Registration
}

// The phases of a Service.
const (
	phaseNew int32 = iota
	phaseStarted
	phaseStopped
)

// NewService returns a Service over strategy, which belongs to it from now on. Zero fields of
// options mean their defaults. An unusable value is an [OptionError]. So is the default namespace
// if the strategy is driver.Shared. Nothing is started.
func NewService(strategy driver.Strategy, options Options) (service *Service, err error) {
	defer panics.Catch(&err) // of a codec or a meter provider
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
	options.LockWait = max(0, options.LockWait)
	features := driver.FeaturesOf(strategy)
	if features.Shared != nil && options.Namespace == defaultNamespace {
		return nil, &OptionError{Name: "namespace", Reason: fmt.Sprintf("must be set, to anything but %q, because the storage of %s is shared: "+
			"two applications that have the same would read each other's entries, and a session of one would be good for the other",
			defaultNamespace, options.StrategyName)}
	}
	service = &Service{
		options: options,
		prefix:  options.KeyPrefix(),
		codec:   entry.NewCodec(options.Codec, options.MaxValueBytes),
		tasks:   new(task.Group),
		meter:   options.MeterProvider.Meter("github.com/fxcache/fxcache/cache"),
	}
	service.store = newStore(features, strategy, options, service.tasks, &service.counters)
	service.admissions = newAdmissions(options.MaxConcurrentLoads, &service.counters)
	return service, nil
}

// Format implements fmt.Formatter: no verb and no flag prints the keys and tags that are within.
func (s *Service) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "cache.Service") }

// Options returns the options in force, complete.
func (s *Service) Options() Options { return s.options }

// Get decodes the entry of key into target, a pointer. A miss is false and nil, and leaves target
// alone, as far as the codec does. A damaged entry is a miss, and is deleted if that is possible at
// once. An entry that was stored as another type is a miss, and stays. It does not matter whether
// Set was given a pointer, and a pointer to an interface takes any entry. Get sees what Set has
// stored, and no entry of a [Cache].
func (s *Service) Get(ctx context.Context, key string, target any) (found bool, err error) {
	t := reflect.TypeOf(target)
	if t == nil || t.Kind() != reflect.Pointer || reflect.ValueOf(target).IsNil() {
		return false, s.store.fail("get", fmt.Errorf("%w: the target must be a pointer that is not nil, not %v", ErrEncoding, t))
	}
	physical, err := s.key(key)
	if err != nil {
		return false, s.store.fail("get", err)
	}
	if s.unreadable(ctx, physical) {
		return false, nil
	}
	encoded, found, err := s.read(ctx, physical, nil, false)
	if err != nil || !found {
		return false, err
	}
	e, err := s.codec.UntypedOf(t.Elem()).Decode(encoded, target)
	if err == nil && (e.Absent || e.Stamp != noStamp) { // Set writes neither
		err = entry.ErrDamaged
	}
	if err != nil {
		s.undecoded(ctx, physical, err)
		return false, nil
	}
	s.counters.hits.Add(1)
	return true, nil
}

// noStamp is the stamp of entries that are not refreshed.
var noStamp entry.Stamp

// Set stores value under key until opts.TTL ends, and replaces a previous entry as a whole. If Set
// is refused (ErrInvalidTTL, ErrTooManyTags, ErrValueTooLarge, ErrEncoding) or fails, the previous
// value is not readable any more either, if the storage can be reached.
//
// A Set that runs at the same time as a Delete or InvalidateTags may win. If value was read from a
// database, use Cache.GetOrLoad or Cache.Update, which cannot.
func (s *Service) Set(ctx context.Context, key string, value any, opts SetOptions) error {
	physical, err := s.key(key)
	if err != nil {
		return s.store.fail("set", err)
	}
	if err := s.ready(); err != nil {
		return s.store.fail("set", err)
	}
	opts, err = s.limit(opts)
	var encoded []byte
	if err == nil {
		encoded, err = s.codec.UntypedOf(reflect.TypeOf(value)).Encode(value, noStamp)
	}
	return s.set(ctx, physical, encoded, opts, err)
}

// Delete removes keys. It returns nil only if all of them are gone. Otherwise, if the storage is to
// blame, the error is a [PendingError], and the keys are being tried again. An [InvalidKeysError]
// says that some of keys can name nothing; it holds up none of the others.
func (s *Service) Delete(ctx context.Context, keys ...string) error {
	physical, invalid := s.usable(keys, s.key)
	return s.revoke("delete", len(physical), invalid, func() error { return s.store.delete(ctx, s.options.MaxTTL, physical) })
}

// InvalidateTags makes every entry that carries any of tags, and was stored before, unreadable. It
// returns nil only if that is done; otherwise as Delete.
func (s *Service) InvalidateTags(ctx context.Context, tags ...string) error {
	physical, invalid := s.usable(tags, s.tag)
	return s.revoke("invalidate", len(physical), invalid, func() error { return s.store.invalidateTags(ctx, s.options.MaxTTL, physical) })
}

// Clear makes every entry unreadable. If the strategy has to look for the entries, that may take
// longer than Options.Timeout. It is tried for ten seconds, and then as Delete. It is
// ErrUnsupported if the strategy is not a driver.Clearer; a tag that all entries carry does the
// same there.
func (s *Service) Clear(ctx context.Context) error {
	return s.revoke("clear", 1, nil, func() error { return s.store.clear(ctx, s.options.MaxTTL) })
}

// key returns the physical form of a key of Service's own. It is that of a cache with an empty
// name. There is no such cache, so the key is never one of a [Cache].
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

// tag returns the physical form of a tag.
func (s *Service) tag(tag string) (string, error) { return s.prefix + tag, s.check(tag) }

// tags returns the physical form of tags.
func (s *Service) tags(tags []string) ([]string, error) {
	if len(tags) == 0 {
		return nil, nil
	}
	physical, invalid := s.usable(tags, s.tag)
	if invalid != nil {
		return nil, invalid
	}
	return physical, nil
}

// usable returns the physical form of those names that have one, and nil or which ones have none.
func (s *Service) usable(names []string, form func(string) (string, error)) (physical []string, invalid *InvalidKeysError) {
	physical = make([]string, 0, len(names))
	for i, name := range names {
		name, err := form(name)
		switch {
		case err == nil:
			physical = append(physical, name)
		case invalid == nil:
			invalid = &InvalidKeysError{Indexes: []int{i}, Of: len(names), Limit: s.options.MaxKeyBytes}
		default:
			invalid.Indexes = append(invalid.Indexes, i)
		}
	}
	return physical, invalid
}

// limit returns opts with physical tags and a TTL within the limits.
func (s *Service) limit(opts SetOptions) (physical SetOptions, err error) {
	switch {
	case opts.TTL < 0:
		return opts, ErrInvalidTTL
	case driver.TooShort(opts.TTL) != "":
		return opts, fmt.Errorf("%w: %w", ErrInvalidTTL, &OptionError{Name: "TTL", Reason: driver.TooShort(opts.TTL)})
	case opts.TTL == 0:
		opts.TTL = s.options.DefaultTTL
	}
	if opts.TTL == 0 || opts.TTL > s.options.MaxTTL {
		opts.TTL = s.options.MaxTTL
	}
	if len(opts.Tags) > s.options.MaxTags {
		return opts, fmt.Errorf("%w: there are %d, and max_tags is %d", ErrTooManyTags, len(opts.Tags), s.options.MaxTags)
	}
	opts.Tags, err = s.tags(opts.Tags)
	return opts, err
}

// read returns the entry of a physical key, still encoded. If known, its tags are expected to be
// tags. It counts misses and errors. The caller counts the hit once it could decode it.
func (s *Service) read(ctx context.Context, physical string, tags []string, known bool) (encoded []byte, found bool, err error) {
	if err := s.ready(); err != nil {
		return nil, false, s.store.fail("get", err)
	}
	encoded, found, err = s.store.get(ctx, physical, tags, known)
	if err != nil {
		s.counters.errors.Add(1)
		return nil, false, s.store.fail("get", err)
	}
	if !found {
		s.counters.misses.Add(1)
	}
	return encoded, found, nil
}

// unreadable reports whether an entry is a miss for the code that has ctx, whatever is stored.
func (s *Service) unreadable(ctx context.Context, physical string) bool {
	within := chain.From(ctx)
	if within == nil || within.To(entryID{s, physical}) == chain.Apart || s.ready() != nil {
		return false
	}
	s.counters.misses.Add(1)
	return true
}

// undecoded handles an entry that was found and could not be decoded.
func (s *Service) undecoded(ctx context.Context, physical string, cause error) {
	if s.damaged(cause) {
		s.store.discard(ctx, cause, physical)
	}
}

// damaged counts an entry that was found and could not be decoded, and reports whether it should be
// deleted. An entry of another release, type or codec may still be needed by another process, and
// stays until it is replaced.
func (s *Service) damaged(cause error) bool {
	s.counters.misses.Add(1)
	if errors.Is(cause, ErrForeign) {
		s.counters.foreign.Add(1)
		return false
	}
	s.counters.corrupt.Add(1)
	return true
}

// set stores an encoded value. If there is a refusal, or ctx reads through, it deletes the previous
// entry instead.
func (s *Service) set(ctx context.Context, physical string, encoded []byte, opts SetOptions, refusal error) (err error) {
	if refusal != nil || ReadsThrough(ctx) {
		err = errors.Join(refusal, s.delete(ctx, s.options.MaxTTL, physical))
	} else {
		err = s.store.set(ctx, physical, encoded, opts)
	}
	if err != nil {
		s.counters.setErrors.Add(1)
		return s.store.fail("set", err)
	}
	s.counters.sets.Add(1)
	return nil
}

// delete removes the entries of physical keys, none of which lives longer than bound.
func (s *Service) delete(ctx context.Context, bound time.Duration, physical ...string) error {
	return s.revoke("delete", len(physical), nil, func() error { return s.store.delete(ctx, bound, physical) })
}

// revoke runs a revocation of n names and counts it. invalid are the names that it is without.
func (s *Service) revoke(op string, n int, invalid *InvalidKeysError, run func() error) error {
	err := s.ready()
	if err == nil && (n > 0 || invalid == nil) {
		err = run()
	}
	if err == nil && invalid == nil {
		s.counters.deletes.Add(1)
		return nil
	}
	var pending *PendingError
	// Stop came meanwhile: nobody tries again
	if errors.As(err, &pending) && s.phase.Load() != phaseStarted {
		pending.Err = errors.Join(pending.Err, ErrClosed)
	}
	if invalid != nil {
		err = errors.Join(invalid, err)
	}
	s.counters.deleteErrors.Add(1)
	return s.store.fail(op, err)
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
