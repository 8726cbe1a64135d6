package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
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
	keys      *keyspace
	clock     cache.Clock
	timeout   time.Duration
	leaseTerm time.Duration
	leaseTTL  string // leaseTerm in ms
	// ledgerTTL outlives every lease, so that a ledger is not lost before the leases that need it.
	ledgerTTL string // ms
	replicas  int
	hints   *tagHints
	agreement *agreement // with the other nodes
	bulkheads     []bulkhead     // by lane
	coalescers     []coalescer    // by lane
	orphans   []orphans  // by lane
	// revoking, batching, adopting and dropping have room for what is under way.
	revoking, batching, releasing, dropping chan struct{}
	bodies                                 *bodies
	slow                               slowEntries
	// largest is how large a value may be, and longestEntry how long an entry, whose tags and header are what
	// others may have stored with the same limits: nobody's is longer.
	largest, longestEntry int64
	longest               string // longestEntry
	longestLease          string // ms, for how long one may be out
}

var (
	_ cache.Leaser        = (*Strategy)(nil)
	_ cache.LeaseLimiter  = (*Strategy)(nil)
	_ cache.LeaseExtender = (*Strategy)(nil)
	_ cache.Hinted        = (*Strategy)(nil)
	_ cache.Batcher       = (*Strategy)(nil)
	_ cache.Initializer   = (*Strategy)(nil)
	_ cache.Destroyer     = (*Strategy)(nil)
	_ cache.Shared        = (*Strategy)(nil)
)

// Factory makes the strategy from its section of the configuration.
func Factory() cache.Factory {
	return cache.Factory{Name: Name, New: func(cfg cache.Decoder) (cache.Strategy, error) {
		options := Options{}.WithDefaults()
		options.Addresses = nil // which a url excludes
		err := cfg.Decode(&options)
		if err == nil && options.URL.IsZero() {
			options = options.WithDefaults()
			err = cfg.Decode(&options) // once more, for the configuration that is in effect
		}
		if err != nil {
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
	options, err := options.withURL()
	if err != nil {
		return nil, err
	}
	return &Strategy{options: options}, nil
}

// Init starts to connect, and waits a moment for the connection; where Redis does not answer it goes on
// in the background, and operations return cache.ErrUnavailable until then. A server that answers and is too
// old, or runs in another mode, is a VersionError or a ModeError. A rueidis.Client that the application exports
// is used as it is, and the options that describe a connection are not.
//
// Where Redis answers and the other nodes of the namespace have another number of lanes, that is a cache.OptionError.
// A node that finds it out later serves no hits, and its revocations fail.
func (s *Strategy) Init(ctx context.Context, in cache.Injector) error {
	service, err := cache.Resolve[cache.Options](in)
	if err != nil {
		return err
	}
	st := &store{
		hints: newTagHints(), revoking: make(chan struct{}, maxRevoking), batching: make(chan struct{}, maxBatching),
		dropping: make(chan struct{}, maxDropping),
		largest:  int64(service.MaxValueBytes) + headroom,
		clock:    service.Clock, timeout: service.Timeout, replicas: s.options.WaitReplicas,
		keys:      newKeyspace(service.KeyPrefix(), s.options.lanes()),
		leaseTerm: s.options.LeaseTTL,
		leaseTTL:  strconv.FormatInt(s.options.LeaseTTL.Milliseconds(), 10),
		ledgerTTL: strconv.FormatInt(2*s.options.LeaseTTL.Milliseconds()+1000, 10),
	}
	st.longestEntry = st.largest + int64(service.MaxTags)*(int64(service.MaxKeyBytes)+2+nonceBytes)
	st.longest = strconv.FormatInt(st.longestEntry, 10)
	st.longestLease = strconv.FormatInt((s.LeaseTTL() + time.Second).Milliseconds(), 10)
	lent, found, err := cache.ResolveOptional[rueidis.Client](in)
	if err != nil {
		return err
	}
	var option rueidis.ClientOption
	if found {
		st.client = useExternal(lent, service.Logger)
		if lent.Mode() == rueidis.ClientModeCluster && s.options.Lanes == 0 {
			st.keys = newKeyspace(service.KeyPrefix(), Options{Mode: Cluster}.lanes())
		}
	} else {
		certificates, err := s.options.TLS.config()
		if err != nil {
			return err
		}
		option = s.options.clientOption(certificates)
		st.client = newClient(option, service.Logger)
		switch s.options.Mode {
		case Standalone:
			st.lost, st.dialled = st.connectionLost, func() { st.agreement.recheck() }
		case Sentinel:
			st.lost, st.dialled, st.sentinels = st.connectionLost, func() { st.agreement.recheck() }, s.options.Addresses
		case Cluster: // nodes come and go, and a lost one concerns few lanes
			st.dialled = func() { st.agreement.wake() }
		}
	}
	st.bodies = newBodies(st, option, s.options.Mode)
	lanes := len(st.keys.lanes)
	st.coalescers = make([]coalescer, lanes)
	st.orphans, st.releasing = newOrphans(lanes), make(chan struct{}, lanes)
	st.bulkheads = newBulkheads(lanes, s.options.connections())
	st.failover.prove = st.writes
	st.agreement = newAgreement(redisSlot{st}, st.keys.namespace, lanes, service.Logger)
	if !st.external {
		st.mode = s.options.Mode
		if err := st.start(ctx); err != nil {
			return errors.Join(fmt.Errorf("redis: %w", err), st.close(ctx))
		}
	}
	if err := st.agree(ctx); err != nil {
		return errors.Join(err, st.close(context.WithoutCancel(ctx)))
	}
	s.store.Store(st)
	return nil
}

// agree compares this node with the others, where Redis answers, and goes on with that in the background.
func (st *store) agree(ctx context.Context) error {
	var after time.Duration
	if _, err := st.use(); err == nil {
		ctx, cancel := context.WithTimeout(ctx, replyTimeout+scanBudget)
		after = st.agreement.check(ctx)
		cancel()
	}
	var different *disagreement
	if errors.As(st.agreement.differs(), &different) {
		return different.startError()
	}
	st.work(func(life context.Context) { st.agreement.watch(life, after) })
	return nil
}

// suspectAll is for a connection that was lost: the next one may lead to another server, or to none.
func (st *store) connectionLost() {
	st.suspectAll()
	st.agreement.recheck()
}

// StorageID implements cache.Shared: that of the fingerprint that was read last.
func (s *Strategy) StorageID() string {
	if st := s.store.Load(); st != nil {
		if id := st.agreement.id.Load(); id != nil {
			return *id
		}
	}
	return ""
}

// Destroy closes the connection.
func (s *Strategy) Destroy(ctx context.Context) error {
	if st := s.store.Swap(nil); st != nil {
		return errors.Join(st.close(ctx), st.bodies.close(ctx))
	}
	return nil
}

// Get implements cache.Strategy: one read-only script, or where the entry was read before one MGET.
func (s *Strategy) Get(ctx context.Context, key string) ([]byte, bool, error) {
	o, err := s.begin(ctx, key)
	if err != nil {
		return nil, false, err
	}
	defer o.end()
	return o.get()
}

// GetHinted implements cache.Hinted: one MGET of the value and the nonces, and Get where the entry has
// a tag that was not expected.
func (s *Strategy) GetHinted(ctx context.Context, key string, tags []string) ([]byte, bool, error) {
	o, err := s.begin(ctx, key)
	if err != nil {
		return nil, false, err
	}
	defer o.end()
	if o.slow.has(key) {
		return o.get()
	}
	wanted := make([]string, 1, 1+len(tags))
	wanted[0] = o.value()
	value, found, stranger, err := o.mget(o.keys.nonces(wanted, o.lane, tags))
	if stranger {
		return o.get()
	}
	return value, found, err
}

// Set implements cache.Strategy: one script.
func (s *Strategy) Set(ctx context.Context, key string, value []byte, opts cache.SetOptions) error {
	_, err := s.put(ctx, key, value, opts, leaseState{})
	return err
}

// Delete implements cache.Strategy: one command for each lane that has any of keys.
func (s *Strategy) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	st, conn, err := s.connected(ctx)
	if err != nil {
		return err
	}
	return st.agreed(ctx, func() error { return st.revoke(ctx, conn, st.keys.deletions(keys)) })
}

// tagsPerScript is how many tags one call of invalidate.lua takes: Lua's stack holds some 8,000.
const tagsPerScript = 1000

// InvalidateTags implements cache.Strategy: one script for each lane, whatever the number of entries.
func (s *Strategy) InvalidateTags(ctx context.Context, tags ...string) error {
	if len(tags) == 0 {
		return nil
	}
	st, conn, err := s.connected(ctx)
	if err != nil {
		return err
	}
	return st.agreed(ctx, func() error {
		var behind unconfirmed
		for part := range slices.Chunk(tags, tagsPerScript) {
			if err := behind.add(st.revoke(ctx, conn, st.keys.invalidations(part, st.longestLease))); err != nil {
				return err
			}
		}
		return behind.err
	})
}

// LeaseTTL implements cache.LeaseLimiter.
func (s *Strategy) LeaseTTL() time.Duration { return max(s.options.LeaseTTL, cache.MaxLeaseTTL) }

// LeaseTerm implements cache.LeaseExtender.
func (s *Strategy) LeaseTerm() time.Duration { return s.options.LeaseTTL }

// Extend implements cache.LeaseExtender: one script.
func (s *Strategy) Extend(ctx context.Context, lease *cache.Lease) (bool, error) {
	g, ok := stateOf(lease)
	if !ok || time.Since(g.asked)+s.options.LeaseTTL > s.LeaseTTL() {
		return false, nil
	}
	o, err := s.begin(ctx, lease.Key)
	if err != nil {
		return false, err
	}
	defer o.end()
	n, err := extendScript.Exec(o.ctx, o.conn, []string{o.lease(), o.lane.ledger, o.lane.earlier}, []string{g.token, o.leaseTTL, o.ledgerTTL}).AsInt64()
	return n == 1, o.observe(err)
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
	g, ok := stateOf(lease)
	if !ok {
		return false, nil // somebody else's
	}
	stored, err := s.put(ctx, lease.Key, value, opts, g)
	if err != nil && mayHaveDone(err) {
		s.releaseLater(lease, g) // it may not have been used up
	}
	return stored, err
}

// Release implements cache.Leaser: one script. Where it fails, it is tried again in the background.
func (s *Strategy) Release(ctx context.Context, lease *cache.Lease) (err error) {
	g, ok := stateOf(lease)
	if !ok {
		return nil
	}
	defer func() {
		if err != nil {
			s.releaseLater(lease, g)
		}
	}()
	o, err := s.begin(ctx, lease.Key)
	if err != nil {
		return err
	}
	defer o.end()
	return o.observe(releaseScript.Exec(o.ctx, o.conn, []string{o.lease()}, []string{g.token}).Error())
}
