package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
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
	names     names
	prefix    string // of the Service's keys
	clock     driver.Clock
	timeout   time.Duration
	leaseTerm time.Duration
	leaseTTL  string // leaseTerm in ms
	// ledgerTTL outlives every lease, so that a ledger is not lost before the leases that need it.
	ledgerTTL string // ms
	replicas  int
	learned   *learned
	agreement *agreement // with the other nodes
	gates     []gate     // by lane
	reads     []reads    // by lane
	orphans   []orphans  // by lane
	// revoking, batching, adopting and dropping have room for what is under way.
	revoking, batching, adopting, dropping chan struct{}
	bodies                                 *bodies
	suspects                               suspects
	// largest is how large a value may be, and longestEntry how long an entry, whose tags and header are what
	// others may have stored with the same limits: nobody's is longer.
	largest, longestEntry int64
	longest               string // longestEntry
	longestLease          string // ms, for how long one may be out
}

var (
	_ driver.Leaser        = (*Strategy)(nil)
	_ driver.LeaseLimiter  = (*Strategy)(nil)
	_ driver.LeaseExtender = (*Strategy)(nil)
	_ driver.Hinted        = (*Strategy)(nil)
	_ driver.Batcher       = (*Strategy)(nil)
	_ driver.Initializer   = (*Strategy)(nil)
	_ driver.Destroyer     = (*Strategy)(nil)
	_ driver.Shared        = (*Strategy)(nil)
)

// Factory makes the strategy from its section of the configuration.
func Factory() driver.Factory {
	return driver.Factory{Name: Name, New: func(cfg driver.Decoder) (driver.Strategy, error) {
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
// in the background, and operations return driver.ErrUnavailable until then. A server that answers and is too
// old, or runs in another mode, is a VersionError or a ModeError. A rueidis.Client that the application exports
// is used as it is, and the options that describe a connection are not.
//
// Where Redis answers and the other nodes of the namespace have another number of lanes, that is a driver.OptionError.
// A node that finds it out later serves no hits, and its revocations fail.
func (s *Strategy) Init(ctx context.Context, in driver.Injector) error {
	limits, err := driver.Resolve[driver.Limits](in)
	if err != nil {
		return err
	}
	clock, err := driver.Resolve[driver.Clock](in)
	if err != nil {
		return err
	}
	logger, err := driver.Resolve[*slog.Logger](in)
	if err != nil {
		return err
	}
	st := &store{
		learned: newLearned(), revoking: make(chan struct{}, maxRevoking), batching: make(chan struct{}, maxBatching),
		dropping: make(chan struct{}, maxDropping),
		largest:  int64(limits.MaxValueBytes) + headroom,
		clock:    clock, timeout: limits.Timeout, replicas: s.options.WaitReplicas,
		prefix:    limits.KeyPrefix,
		names:     newNames(s.options.lanes()),
		leaseTerm: s.options.LeaseTTL,
		leaseTTL:  strconv.FormatInt(s.options.LeaseTTL.Milliseconds(), 10),
		ledgerTTL: strconv.FormatInt(2*s.options.LeaseTTL.Milliseconds()+1000, 10),
	}
	st.longestEntry = st.largest + int64(limits.MaxTags)*(int64(limits.MaxKeyBytes)+2+nonceBytes)
	st.longest = strconv.FormatInt(st.longestEntry, 10)
	st.longestLease = strconv.FormatInt((s.LeaseTTL() + time.Second).Milliseconds(), 10)
	lent, found, err := driver.ResolveOptional[rueidis.Client](in)
	if err != nil {
		return err
	}
	var option rueidis.ClientOption
	if found {
		st.client = borrow(lent, logger)
		if lent.Mode() == rueidis.ClientModeCluster && s.options.Lanes == 0 {
			st.names = newNames(Options{Mode: Cluster}.lanes())
		}
	} else {
		certificates, err := s.options.TLS.config()
		if err != nil {
			return err
		}
		option = s.options.clientOption(certificates)
		st.client = newClient(option, logger)
		switch s.options.Mode {
		case Standalone:
			st.lost, st.dialled = st.suspectAll, func() { st.agreement.suspect() }
		case Sentinel:
			st.lost, st.dialled, st.sentinels = st.suspectAll, func() { st.agreement.suspect() }, s.options.Addresses
		case Cluster: // nodes come and go, and a lost one concerns few lanes
			st.dialled = func() { st.agreement.wake() }
		}
	}
	st.bodies = newBodies(st, option, s.options.Mode)
	st.reads = make([]reads, st.names.lanes)
	st.orphans, st.adopting = newOrphans(st.names.lanes), make(chan struct{}, st.names.lanes)
	st.gates = newGates(st.names.lanes, s.options.connections())
	st.failover.prove = st.writes
	namespace, _ := split(st.prefix)
	st.agreement = newAgreement(keeping{st, namespace, fingerprintKey(namespace)}, namespace, st.names.lanes, logger)
	if !st.lent {
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
		ctx, cancel := context.WithTimeout(ctx, replyTimeout+looking)
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
func (st *store) suspectAll() {
	st.doubtAll()
	st.agreement.suspect()
}

// StorageID implements driver.Shared: that of the fingerprint that was read last.
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

// Get implements driver.Strategy: one read-only script, or where the entry was read before one MGET.
func (s *Strategy) Get(ctx context.Context, key string) ([]byte, bool, error) {
	o, err := s.begin(ctx, key)
	if err != nil {
		return nil, false, err
	}
	defer o.end()
	return o.get()
}

// GetHinted implements driver.Hinted: one MGET of the value and the nonces, and Get where the entry has
// a tag that was not expected.
func (s *Strategy) GetHinted(ctx context.Context, key string, tags []string) ([]byte, bool, error) {
	o, err := s.begin(ctx, key)
	if err != nil {
		return nil, false, err
	}
	defer o.end()
	if o.suspects.has(key) {
		return o.get()
	}
	wanted := make([]string, 1, 1+len(tags))
	wanted[0] = o.value()
	for _, tag := range tags {
		_, name := split(tag)
		wanted = append(wanted, o.tags()+name)
	}
	value, found, stranger, err := o.mget(wanted)
	if stranger {
		return o.get()
	}
	return value, found, err
}

// Set implements driver.Strategy: one script.
func (s *Strategy) Set(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
	_, err := s.put(ctx, key, value, opts, granted{})
	return err
}

// Delete implements driver.Strategy: one command for each lane that has any of keys.
func (s *Strategy) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	st, conn, err := s.open(ctx)
	if err != nil {
		return err
	}
	return st.heeded(ctx, func() error { return st.revoke(ctx, conn, st.names.deletions(keys)) })
}

// tagsPerScript is how many tags one call of invalidate.lua takes: Lua's stack holds some 8,000.
const tagsPerScript = 1000

// InvalidateTags implements driver.Strategy: one script for each lane, whatever the number of entries.
func (s *Strategy) InvalidateTags(ctx context.Context, tags ...string) error {
	if len(tags) == 0 {
		return nil
	}
	st, conn, err := s.open(ctx)
	if err != nil {
		return err
	}
	return st.heeded(ctx, func() error {
		var behind unconfirmed
		for part := range slices.Chunk(tags, tagsPerScript) {
			if err := behind.note(st.revoke(ctx, conn, st.names.invalidations(part, st.longestLease))); err != nil {
				return err
			}
		}
		return behind.err
	})
}

// LeaseTTL implements driver.LeaseLimiter.
func (s *Strategy) LeaseTTL() time.Duration { return max(s.options.LeaseTTL, driver.MaxLeaseTTL) }

// LeaseTerm implements driver.LeaseExtender.
func (s *Strategy) LeaseTerm() time.Duration { return s.options.LeaseTTL }

// Extend implements driver.LeaseExtender: one script.
func (s *Strategy) Extend(ctx context.Context, lease *driver.Lease) (bool, error) {
	g, ok := held(lease)
	if !ok || time.Since(g.asked)+s.options.LeaseTTL > s.LeaseTTL() {
		return false, nil
	}
	o, err := s.begin(ctx, lease.Key)
	if err != nil {
		return false, err
	}
	defer o.end()
	n, err := extendScript.Exec(o.ctx, o.conn, []string{o.lease(), o.ledger(), o.begin.earlier}, []string{g.token, o.leaseTTL, o.ledgerTTL}).AsInt64()
	return n == 1, o.answered(err)
}

// GetOrLease implements driver.Leaser: one script.
func (s *Strategy) GetOrLease(ctx context.Context, key string) ([]byte, bool, *driver.Lease, error) {
	return s.lease(ctx, key, true)
}

// Lease implements driver.Leaser: one script.
func (s *Strategy) Lease(ctx context.Context, key string) (*driver.Lease, error) {
	_, _, lease, err := s.lease(ctx, key, false)
	return lease, err
}

// Fill implements driver.Leaser: one script.
func (s *Strategy) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
	g, ok := held(lease)
	if !ok {
		return false, nil // somebody else's
	}
	stored, err := s.put(ctx, lease.Key, value, opts, g)
	if err != nil && mayHaveDone(err) {
		s.forsake(lease, g) // it may not have been used up
	}
	return stored, err
}

// Release implements driver.Leaser: one script. Where it fails, it is tried again in the background.
func (s *Strategy) Release(ctx context.Context, lease *driver.Lease) (err error) {
	g, ok := held(lease)
	if !ok {
		return nil
	}
	defer func() {
		if err != nil {
			s.forsake(lease, g)
		}
	}()
	o, err := s.begin(ctx, lease.Key)
	if err != nil {
		return err
	}
	defer o.end()
	return o.answered(releaseScript.Exec(o.ctx, o.conn, []string{o.lease()}, []string{g.token}).Error())
}
