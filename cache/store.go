package cache

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/entry"
	"github.com/fxcache/fxcache/cache/internal/task"
	"github.com/fxcache/fxcache/internal/absent"
)

// defaultStore is the name of the store of everything that is placed nowhere else.
const defaultStore = "default"

// store is a place for entries: the storage in use, the limits and counts that belong to the place,
// and the form of its keys. Everything that a cache does with a storage goes through its store, and
// from there through the [door] of the storage.
type store struct {
	name       string // as in the configuration
	phase      *atomic.Int32
	live       atomic.Pointer[Options]
	prefix     string // of every key and tag: the namespace
	codec      *entry.Codec
	admissions *admissions
	counters   counters
	logger     *throttledLogger
	tasks      *task.Group // loads, refreshes and retries
	doors      atomic.Pointer[doors]
	changing   sync.Mutex // held to change doors
}

func newStore(name string, strategy driver.Strategy, options Options, phase *atomic.Int32, tasks *task.Group) (*store, error) {
	features := driver.FeaturesOf(strategy)
	if err := checkNamespace(features, options); err != nil {
		return nil, err
	}
	s := &store{
		name:   name,
		phase:  phase,
		prefix: options.KeyPrefix(),
		codec:  entry.NewCodec(options.Codec, options.MaxValueBytes),
		tasks:  tasks,
	}
	s.logger = &throttledLogger{logger: options.Logger, store: s}
	s.live.Store(&options)
	s.admissions = newAdmissions(options.MaxConcurrentLoads, &s.counters)
	s.doors.Store(&doors{current: newDoor(s, features, strategy, options)})
	return s, nil
}

// checkNamespace reports the default namespace in a storage that is shared.
func checkNamespace(features driver.Features, options Options) error {
	if features.Shared != nil && options.Namespace == defaultNamespace {
		return &OptionError{Name: "namespace", Reason: fmt.Sprintf("must be set, to anything but %q, because the storage of %s is shared: "+
			"two applications that have the same would read each other's entries, and a session of one would be good for the other",
			defaultNamespace, options.StrategyName)}
	}
	return nil
}

// codecOf returns the codec of the caches of one name.
func (s *store) codecOf(named *namedCache) *entry.Codec {
	if codec := named.options.Load().Codec; !absent.Is(codec) {
		return s.codec.With(codec)
	}
	return s.codec
}

// options returns the options in force. They change when the configuration is loaded again.
func (s *store) options() *Options { return s.live.Load() }

// door returns the door of the storage in use.
func (s *store) door() *door { return s.doors.Load().current }

// ready returns nil between Start and Stop.
func (s *store) ready() error {
	switch s.phase.Load() {
	case phaseStarted:
		return nil
	case phaseNew:
		return ErrNotStarted
	default:
		return ErrClosed
	}
}

// fail wraps err in an Error, once. A Service that NewService has not made has no store.
func (s *store) fail(op string, err error) error {
	if _, wrapped := err.(*Error); wrapped { //nolint:errorlint // only an Error on the outside counts
		return err
	}
	if s == nil {
		return &Error{Op: op, Err: err}
	}
	return &Error{Op: op, Store: s.name, Strategy: s.door().strategyName, Err: err}
}

// key returns the physical form of a key of Service's own. It is that of a cache with an empty
// name. There is no such cache, so the key is never one of a [Cache].
func (s *store) key(key string) (string, error) {
	if err := s.check(key); err != nil {
		return "", err
	}
	return s.prefix + ":" + key, nil
}

// check checks a key or tag.
func (s *store) check(name string) error {
	if name == "" || driver.Size(len(name)) > s.options().MaxKeyBytes {
		return ErrInvalidKey
	}
	return nil
}

// tag returns the physical form of a tag.
func (s *store) tag(tag string) (string, error) { return s.prefix + tag, s.check(tag) }

// tags returns the physical form of tags.
func (s *store) tags(tags []string) ([]string, error) {
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
func (s *store) usable(names []string, form func(string) (string, error)) (physical []string, invalid *InvalidKeysError) {
	physical = make([]string, 0, len(names))
	for i, name := range names {
		name, err := form(name)
		switch {
		case err == nil:
			physical = append(physical, name)
		case invalid == nil:
			invalid = &InvalidKeysError{Indexes: []int{i}, Of: len(names), Limit: s.options().MaxKeyBytes}
		default:
			invalid.Indexes = append(invalid.Indexes, i)
		}
	}
	return physical, invalid
}

// limit returns opts with physical tags and a TTL within the limits.
func (s *store) limit(opts SetOptions) (physical SetOptions, err error) {
	switch {
	case opts.TTL < 0:
		return opts, ErrInvalidTTL
	case driver.TooShort(opts.TTL) != "":
		return opts, fmt.Errorf("%w: %w", ErrInvalidTTL, &OptionError{Name: "TTL", Reason: driver.TooShort(opts.TTL)})
	case opts.TTL == 0:
		opts.TTL = s.options().DefaultTTL
	}
	if opts.TTL == 0 || opts.TTL > s.options().MaxTTL {
		opts.TTL = s.options().MaxTTL
	}
	if len(opts.Tags) > s.options().MaxTags {
		return opts, fmt.Errorf("%w: there are %d, and max_tags is %d", ErrTooManyTags, len(opts.Tags), s.options().MaxTags)
	}
	opts.Tags, err = s.tags(opts.Tags)
	return opts, err
}
