package redis

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/internal/sabotage"
)

// Name selects this strategy in the configuration.
const Name = "redis"

// maxTags is the most that the 16-bit count of an entry can hold; scripts take fewer in any case.
const maxTags = 4096

// Strategy is a CacheStrategy of the seed in Redis. Create it with New; it is safe for concurrent use.
// An operation without a deadline of its own gets that of the Service.
type Strategy struct {
	options Options
	store   atomic.Pointer[store] // nil before Init and after Destroy
}

// store is what one Init opened.
type store struct {
	*client
	names    names
	clock    cache.Clock
	timeout  time.Duration
	leaseTTL string // ms
	// ledgerTTL outlives every lease, so that a ledger is not lost before the leases that need it.
	ledgerTTL string // ms
	replicas  int
	learned   *learned
}

var (
	_ cache.Leaser      = (*Strategy)(nil)
	_ cache.Hinted      = (*Strategy)(nil)
	_ cache.Initializer = (*Strategy)(nil)
	_ cache.Destroyer   = (*Strategy)(nil)
)

// Factory makes the strategy from its section of the configuration.
func Factory() cache.Factory {
	return cache.Factory{Name: Name, New: func(cfg cache.Decoder) (cache.Strategy, error) {
		options := Options{}.WithDefaults()
		if err := cfg.Decode(&options); err != nil {
			return nil, err
		}
		strategy, err := New(options)
		if err != nil {
			return nil, err
		}
		return strategy, nil
	}}
}

// New returns the strategy, not yet initialised. Unusable options are cache.OptionErrors.
func New(options Options) (*Strategy, error) {
	options = options.WithDefaults()
	if err := options.Validate(); err != nil {
		return nil, err
	}
	return &Strategy{options: options}, nil
}

// Init starts to connect, and waits a moment for the connection; where Redis does not answer it goes on
// in the background, and operations return cache.ErrUnavailable until then. A rueidis.Client that the
// application exports is used as it is, and the options that describe a connection are not.
func (s *Strategy) Init(ctx context.Context, in cache.Injector) error {
	service, err := cache.Resolve[cache.Options](in)
	if err != nil {
		return err
	}
	st := &store{
		learned: newLearned(),
		clock:   service.Clock, timeout: service.Timeout, replicas: s.options.WaitReplicas,
		names:     newNames(s.options.lanes()),
		leaseTTL:  strconv.FormatInt(s.options.LeaseTTL.Milliseconds(), 10),
		ledgerTTL: strconv.FormatInt(2*s.options.LeaseTTL.Milliseconds()+1000, 10),
	}
	if lent, err := cache.Resolve[rueidis.Client](in); err == nil {
		st.client = borrow(lent, service.Logger)
		if lent.Mode() == rueidis.ClientModeCluster && s.options.Lanes == 0 {
			st.names = newNames(Options{Mode: Cluster}.lanes())
		}
	} else {
		certificates, err := s.options.TLS.config()
		if err != nil {
			return err
		}
		st.client = connect(ctx, s.options.clientOption(certificates), service.Logger)
	}
	s.store.Store(st)
	return nil
}

// Destroy closes the connection.
func (s *Strategy) Destroy(ctx context.Context) error {
	if st := s.store.Swap(nil); st != nil {
		return st.close(ctx)
	}
	return nil
}

// open returns the store, its connection, and ctx with a deadline.
func (s *Strategy) open(ctx context.Context) (*store, rueidis.Client, context.Context, context.CancelFunc, error) {
	st := s.store.Load()
	if st == nil {
		return nil, nil, nil, nil, cache.ErrClosed
	}
	conn, err := st.use()
	if err != nil {
		return nil, nil, nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, nil, nil, err
	}
	if _, bounded := ctx.Deadline(); bounded {
		return st, conn, ctx, func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, st.timeout)
	return st, conn, ctx, cancel, nil
}

// Get implements cache.Strategy: one read-only script, or where the entry was read before one MGET.
func (s *Strategy) Get(ctx context.Context, key string) ([]byte, bool, error) {
	st, conn, ctx, cancel, err := s.open(ctx)
	if err != nil {
		return nil, false, err
	}
	defer cancel()
	k := st.names.of(key)
	if wanted := st.learned.recall(key); wanted != nil {
		value, found, stranger, err := st.mget(ctx, conn, k, wanted)
		if !stranger {
			return value, found, err
		}
		st.learned.forget(key)
	}
	return st.get(ctx, conn, key, k)
}

// GetHinted implements cache.Hinted: one MGET of the value and the nonces, and Get where the entry has
// a tag that was not expected.
func (s *Strategy) GetHinted(ctx context.Context, key string, tags []string) ([]byte, bool, error) {
	st, conn, ctx, cancel, err := s.open(ctx)
	if err != nil {
		return nil, false, err
	}
	defer cancel()
	k := st.names.of(key)
	wanted := make([]string, 1, 1+len(tags))
	wanted[0] = k.value()
	for _, tag := range tags {
		_, name := split(tag)
		wanted = append(wanted, k.tags()+name)
	}
	value, found, stranger, err := st.mget(ctx, conn, k, wanted)
	if stranger {
		return s.Get(ctx, key)
	}
	return value, found, err
}

// Set implements cache.Strategy: one script.
func (s *Strategy) Set(ctx context.Context, key string, value []byte, opts cache.SetOptions) error {
	_, err := s.put(ctx, key, value, opts, granted{})
	return err
}

// Delete implements cache.Strategy: one command for each lane that has any of keys.
func (s *Strategy) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	st, conn, ctx, cancel, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	lanes := make(map[int][]string)
	for _, key := range keys {
		k, lane := st.names.of(key), st.names.lane(key)
		lanes[lane] = append(lanes[lane], k.value())
		if !sabotage.Off(sabotage.DeleteEndsLease) {
			lanes[lane] = append(lanes[lane], k.lease())
		}
	}
	commands := make([]rueidis.Completed, 0, len(lanes))
	for _, all := range lanes {
		commands = append(commands, conn.B().Unlink().Key(all...).Build())
	}
	return st.revoke(ctx, conn, commands)
}

// tagsPerScript is how many tags one call of invalidate.lua takes: Lua's stack holds some 8,000.
const tagsPerScript = 1000

// InvalidateTags implements cache.Strategy: one script for each lane, whatever the number of entries.
func (s *Strategy) InvalidateTags(ctx context.Context, tags ...string) error {
	if len(tags) == 0 {
		return nil
	}
	st, conn, ctx, cancel, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	for len(tags) > 0 {
		n := min(len(tags), tagsPerScript)
		if err := st.invalidate(ctx, conn, tags[:n]); err != nil {
			return err
		}
		tags = tags[n:]
	}
	return nil
}

// GetOrLease implements cache.Leaser: one script.
func (s *Strategy) GetOrLease(ctx context.Context, key string, tags []string) ([]byte, bool, *cache.Lease, error) {
	return s.lease(ctx, key, tags, true)
}

// Lease implements cache.Leaser: one script.
func (s *Strategy) Lease(ctx context.Context, key string, tags []string) (*cache.Lease, error) {
	_, _, lease, err := s.lease(ctx, key, tags, false)
	return lease, err
}

// Fill implements cache.Leaser: one script.
func (s *Strategy) Fill(ctx context.Context, lease *cache.Lease, value []byte, opts cache.SetOptions) (bool, error) {
	if lease == nil {
		return false, nil
	}
	g, ok := lease.State.(granted)
	if !ok {
		return false, nil // somebody else's
	}
	return s.put(ctx, lease.Key, value, opts, g)
}

// Release implements cache.Leaser: one script.
func (s *Strategy) Release(ctx context.Context, lease *cache.Lease) error {
	if lease == nil {
		return nil
	}
	g, ok := lease.State.(granted)
	if !ok {
		return nil
	}
	st, conn, ctx, cancel, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return st.answered(releaseScript.Exec(ctx, conn, []string{st.names.of(lease.Key).lease()}, []string{g.token}).Error())
}
