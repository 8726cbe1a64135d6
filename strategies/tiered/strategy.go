package tiered

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Name selects this strategy in the configuration.
const Name = "tiered"

// Strategy is a driver.Strategy that keeps copies of a Redis' entries in the process. Create it
// with New. It is safe for concurrent use.
type Strategy struct {
	options Options
	l1      *bigcache.Strategy
	l2      *redis.Strategy
	copies  atomic.Pointer[copies] // nil before Init and after Destroy
}

var (
	_ driver.Leaser      = (*Strategy)(nil)
	_ driver.BatchLeaser = (*Strategy)(nil)
	_ driver.Hinted      = (*Strategy)(nil)
	_ driver.Batcher     = (*Strategy)(nil)
	_ driver.Near        = (*Strategy)(nil)
	_ driver.Clearer     = (*Strategy)(nil)
	_ driver.Initializer = (*Strategy)(nil)
	_ driver.Destroyer   = (*Strategy)(nil)
	_ driver.Limiter     = (*Strategy)(nil)
	_ driver.Located     = (*Strategy)(nil)
	_ driver.Featured    = (*Strategy)(nil)
)

// Factory makes the strategy from its section of the configuration, and from the sections `redis`
// and `bigcache` beside it.
func Factory() driver.Factory {
	return driver.Factory{Name: Name, Uses: []string{bigcache.Name, redis.Name}, FollowsSecrets: true, New: func(cfg driver.Decoder) (driver.Strategy, error) {
		beside, ok := cfg.(driver.Siblings)
		if !ok {
			return nil, errors.New("tiered: the decoder has no sections beside that of the strategy")
		}
		options := Options{}.WithDefaults()
		err := cfg.Decode(&options)
		l1, failed := bigcache.Factory().New(beside.Sibling(bigcache.Name))
		err = errors.Join(err, failed)
		l2, failed := redis.Factory().New(beside.Sibling(redis.Name))
		if err = errors.Join(err, failed); err != nil {
			return nil, err
		}
		strategy, err := New(options, l1.(*bigcache.Strategy), l2.(*redis.Strategy))
		if err != nil {
			return nil, err
		}
		return strategy, nil
	}}
}

// New returns the strategy, not yet initialised, with its two tiers, which nobody else may use. An
// unusable option is a driver.OptionError.
func New(options Options, l1 *bigcache.Strategy, l2 *redis.Strategy) (*Strategy, error) {
	options = options.WithDefaults()
	if err := options.Validate(); err != nil {
		return nil, err
	}
	if l1 == nil || l2 == nil {
		return nil, errors.New("tiered: a tier is missing")
	}
	if options.Coherence == Strict {
		if err := l2.DeclareLag(options.Lag); err != nil {
			return nil, err
		}
	}
	return &Strategy{options: options, l1: l1, l2: l2}, nil
}

// Init opens both tiers. The redis tier starts even if Redis cannot be reached, and then there are
// no copies until it can.
func (s *Strategy) Init(ctx context.Context, in driver.Injector) error {
	logger, err := driver.Resolve[*slog.Logger](in)
	if err != nil {
		return err
	}
	c, err := newCopies(ctx, s.l1, s.options.L1TTL, in)
	if err != nil {
		return within(bigcache.Name, err)
	}
	if err := s.l2.Init(ctx, in); err != nil {
		return errors.Join(within(redis.Name, err), s.l1.Destroy(ctx))
	}
	c.tracker, err = s.l2.Track(c, redis.TrackerOptions{
		Lag: s.options.Lag, Unpublished: s.options.Coherence == Eventual, MaxValueBytes: maxCopyBytes, Logger: logger,
	})
	if err != nil {
		return errors.Join(err, s.l2.Destroy(ctx), s.l1.Destroy(ctx))
	}
	s.copies.Store(c)
	return nil
}

// within says which section beside that of this strategy an option is from.
func within(section string, err error) error {
	var option *driver.OptionError
	if !errors.As(err, &option) {
		return fmt.Errorf("%s tier: %w", section, err)
	}
	return &driver.OptionError{Name: section + "." + option.Name, Reason: option.Reason}
}

// Destroy ends the feeds, closes the connections, and forgets the copies.
func (s *Strategy) Destroy(ctx context.Context) error {
	var err error
	if c := s.copies.Swap(nil); c != nil {
		err = c.tracker.Close(ctx)
	}
	return errors.Join(err, s.l2.Destroy(ctx), s.l1.Destroy(ctx))
}

// Features implements driver.Featured: this strategy is Redis' one, and replaces what reads, writes
// and revokes.
func (s *Strategy) Features() driver.Features {
	f := driver.FeaturesOf(s.l2)
	f.Leaser, f.BatchLeaser, f.Hinted, f.Batcher, f.Near, f.Clearer = s, s, s, s, s, s
	f.Initializer, f.Destroyer, f.Limiter, f.Located = s, s, s, s
	return f
}

// Location implements driver.Located: it is Redis' one, because the storage is.
func (s *Strategy) Location() string { return s.l2.Location() }

// CheckLimits implements driver.Limiter. The copies need no other limits: what is too large for
// them is read from Redis.
func (s *Strategy) CheckLimits(limits driver.Limits) error { return s.l2.CheckLimits(limits) }

// SetLimits implements driver.Limiter.
func (s *Strategy) SetLimits(limits driver.Limits) { s.l2.SetLimits(limits) }

// Stats says how much of the reading the copies serve.
type Stats struct {
	// Hits are reads that a copy has served, and Misses the others.
	Hits, Misses uint64
	// Fills are the copies that were stored. Refused are those that were not, because the entry
	// changed meanwhile.
	Fills, Refused uint64
	// Tracker is about the feeds.
	Tracker redis.TrackerStats
}

// Stats returns what has happened since Init. It is zero before that and after Destroy.
func (s *Strategy) Stats() Stats {
	c := s.copies.Load()
	if c == nil {
		return Stats{}
	}
	return Stats{
		Hits: c.hits.Load(), Misses: c.misses.Load(), Fills: c.fills.Load(), Refused: c.refused.Load(), Tracker: c.tracker.Stats(),
	}
}

// Lag returns for how long a copy of this node may be served after Redis was last heard of. It
// is 0 while the lag that it needs is not published yet, and then no copy is served.
func (s *Strategy) Lag() time.Duration {
	if s.options.Coherence == Eventual {
		return s.options.Lag
	}
	return s.l2.Lag()
}
