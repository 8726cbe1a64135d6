package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// Name selects this strategy in the configuration.
const Name = "redis"

// Strategy is a driver.Strategy that stores entries in Redis. Create it with New. It is safe for
// concurrent use. An operation without a deadline of its own gets that of the Service.
type Strategy struct {
	options Options
	reread  func() (Options, error) // reads the options again, for secrets that come from files; nil if they come from code
	store   atomic.Pointer[store]   // nil before Init and after Destroy
	lag     atomic.Int64            // see DeclareLag
}

var (
	_ driver.Leaser        = (*Strategy)(nil)
	_ driver.LeaseLimiter  = (*Strategy)(nil)
	_ driver.LeaseExtender = (*Strategy)(nil)
	_ driver.Notifier      = (*Strategy)(nil)
	_ driver.Hinted        = (*Strategy)(nil)
	_ driver.Batcher       = (*Strategy)(nil)
	_ driver.Clearer       = (*Strategy)(nil)
	_ driver.Initializer   = (*Strategy)(nil)
	_ driver.Destroyer     = (*Strategy)(nil)
	_ driver.Shared        = (*Strategy)(nil)
	_ driver.Located       = (*Strategy)(nil)
	_ driver.Cancellable   = (*Strategy)(nil)
	_ driver.Limiter       = (*Strategy)(nil)
)

// Factory makes the strategy from its section of the configuration.
func Factory() driver.Factory {
	return driver.Factory{Name: Name, FollowsSecrets: true, New: func(cfg driver.Decoder) (driver.Strategy, error) {
		section := newSection()
		if err := cfg.Decode(section); err != nil {
			return nil, err
		}
		strategy, err := New(section.options())
		if err != nil {
			return nil, err
		}
		decode := cfg.Decode
		if again, ok := cfg.(driver.Rereader); ok {
			decode = again.Reread
		}
		strategy.reread = func() (Options, error) {
			fresh := newSection()
			fresh.again = true
			if err := decode(fresh); err != nil {
				return Options{}, err
			}
			return fresh.options().withURL()
		}
		return strategy, nil
	}}
}

// New returns the strategy, not yet initialised. An unusable option is a driver.OptionError.
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

// Destroy closes the connections.
func (s *Strategy) Destroy(ctx context.Context) error {
	if st := s.store.Swap(nil); st != nil {
		return st.close(ctx)
	}
	return nil
}

// CheckLimits implements driver.Limiter: Redis has room for any limits.
func (s *Strategy) CheckLimits(driver.Limits) error { return nil }

// SetLimits implements driver.Limiter. What was stored by higher limits is a miss once it is met.
// What runs in the background keeps the Timeout of Init.
func (s *Strategy) SetLimits(limits driver.Limits) {
	if st := s.store.Load(); st != nil {
		st.limits.Store(newLimits(limits))
	}
}

// Cancellable implements driver.Cancellable.
func (s *Strategy) Cancellable() {}

// StorageID implements driver.Shared. The ID is that of the fingerprint that was read last.
func (s *Strategy) StorageID() string {
	if st := s.store.Load(); st != nil {
		if t := st.agreement.agreed.Load(); t != nil {
			return t.ID
		}
	}
	return ""
}

// DeclareLag says that this node has an L1, a storage in its process in front of this one, which
// may serve what was revoked up to lag ago. From Init on, the node publishes lag, so that every
// node of the namespace waits for it in its revocations, and makes it usable 20s later. Zero means
// that there is no L1. A lag that is negative, shorter than a millisecond or longer than MaxLag is
// a driver.OptionError. DeclareLag has no effect on an Init that has begun.
func (s *Strategy) DeclareLag(lag time.Duration) error {
	if reason := driver.TooShort(lag); reason != "" {
		return &driver.OptionError{Name: "lag", Reason: reason}
	}
	if lag < 0 || lag > MaxLag {
		return &driver.OptionError{Name: "lag", Reason: fmt.Sprintf("must be at most %v and not negative, not %v", MaxLag, lag)}
	}
	s.lag.Store(int64(lag))
	return nil
}

// Lag returns how old what an L1 of this node serves may be, by the fingerprint that was read last.
// Zero means that it may serve nothing: this node has declared no lag, it is not usable yet, or it
// is not known now whether the nodes agree.
func (s *Strategy) Lag() time.Duration {
	if st := s.store.Load(); st != nil {
		return st.agreement.lag()
	}
	return 0
}

// Propagation returns for how long after an operation was answered the L1s of other nodes may serve
// what was there before. It is to be asked after the answer. Zero means that no node has an L1. It
// is MaxLag whenever this node does not know.
func (s *Strategy) Propagation() time.Duration {
	if st := s.store.Load(); st != nil {
		return st.agreement.propagation()
	}
	return MaxLag
}

// Location implements driver.Located.
func (s *Strategy) Location() string {
	if st := s.store.Load(); st != nil && st.client.external {
		return "the application's rueidis.Client"
	}
	o := s.options
	where := o.Mode + " " + strings.Join(o.Addresses, ",")
	if o.Mode == Sentinel {
		where += " master " + o.SentinelMaster
	}
	if o.DB != 0 {
		where += fmt.Sprintf(" db %d", o.DB)
	}
	return where
}

// initialised returns the store, or driver.ErrClosed if there is none.
func (s *Strategy) initialised() (*store, error) {
	if st := s.store.Load(); st != nil {
		return st, nil
	}
	return nil, driver.ErrClosed
}

// begin begins an operation that concerns one key. The caller must call the operation's end.
func (s *Strategy) begin(ctx context.Context, key string) (*store, operation, error) {
	st, err := s.initialised()
	if err != nil {
		return nil, operation{}, err
	}
	o, err := st.admission.begin(ctx, key)
	return st, o, err
}

// Get implements driver.Strategy: one read-only script, or one MGET if the entry was read before.
func (s *Strategy) Get(ctx context.Context, key string) ([]byte, bool, error) {
	st, o, err := s.begin(ctx, key)
	if err != nil {
		return nil, false, err
	}
	defer o.end()
	return st.reader.get(&o)
}

// GetHinted implements driver.Hinted: one MGET of the entry and the nonces. It continues like Get
// if the entry has a tag that was not expected.
func (s *Strategy) GetHinted(ctx context.Context, key string, tags []string) ([]byte, bool, error) {
	st, o, err := s.begin(ctx, key)
	if err != nil {
		return nil, false, err
	}
	defer o.end()
	return st.reader.getHinted(&o, tags)
}

// GetMany implements driver.Batcher: one pipeline for each node, or two.
func (s *Strategy) GetMany(ctx context.Context, keys, tags []string) []driver.Result {
	if len(keys) == 0 {
		return nil
	}
	st, err := s.initialised()
	if err != nil {
		return slices.Repeat([]driver.Result{{Err: err}}, len(keys))
	}
	return st.batcher.getMany(ctx, keys, tags)
}

// Set implements driver.Strategy: one script.
func (s *Strategy) Set(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
	st, err := s.initialised()
	if err == nil {
		_, err = st.writer.store(ctx, key, value, opts, leaseState{})
	}
	return err
}

// SetMany implements driver.Batcher: one pipeline for each node.
func (s *Strategy) SetMany(ctx context.Context, items []driver.Item) []error {
	if len(items) == 0 {
		return nil
	}
	st, err := s.initialised()
	if err != nil {
		return slices.Repeat([]error{err}, len(items))
	}
	return st.batcher.setMany(ctx, items)
}

// Delete implements driver.Strategy: one command for each lane that has any of keys.
func (s *Strategy) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	st, err := s.initialised()
	if err != nil {
		return err
	}
	return st.revoker.delete(ctx, keys)
}

// InvalidateTags implements driver.Strategy: one script for each lane, whatever the number of
// entries.
func (s *Strategy) InvalidateTags(ctx context.Context, tags ...string) error {
	if len(tags) == 0 {
		return nil
	}
	st, err := s.initialised()
	if err != nil {
		return err
	}
	return st.revoker.invalidate(ctx, tags)
}

// Clear implements driver.Clearer for one namespace, that of the Service: one script for each lane,
// whatever the number of entries. They are unreadable then, and their memory is freed in the
// background.
func (s *Strategy) Clear(ctx context.Context) error {
	st, err := s.initialised()
	if err != nil {
		return err
	}
	return st.revoker.clear(ctx)
}

// LeaseTTL implements driver.LeaseLimiter.
func (s *Strategy) LeaseTTL() time.Duration { return s.options.longestLease() }

// LeaseTerm implements driver.LeaseExtender.
func (s *Strategy) LeaseTerm() time.Duration { return s.options.LeaseTTL }

// GetOrLease implements driver.Leaser: one script.
func (s *Strategy) GetOrLease(ctx context.Context, key string) ([]byte, bool, *driver.Lease, error) {
	st, o, err := s.begin(ctx, key)
	if err != nil {
		return nil, false, nil, err
	}
	defer o.end()
	return st.leaser.grant(&o, true)
}

// Lease implements driver.Leaser: one script.
func (s *Strategy) Lease(ctx context.Context, key string) (*driver.Lease, error) {
	st, o, err := s.begin(ctx, key)
	if err != nil {
		return nil, err
	}
	defer o.end()
	_, _, lease, err := st.leaser.grant(&o, false)
	return lease, err
}

// Extend implements driver.LeaseExtender: one script.
func (s *Strategy) Extend(ctx context.Context, lease *driver.Lease) (bool, error) {
	state, ok := stateOf(lease)
	if !ok || time.Since(state.asked)+s.options.LeaseTTL > s.LeaseTTL() {
		return false, nil
	}
	st, o, err := s.begin(ctx, lease.Key)
	if err != nil {
		return false, err
	}
	defer o.end()
	return st.leaser.extend(&o, state.token)
}

// Fill implements driver.Leaser: one script.
func (s *Strategy) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
	state, ok := stateOf(lease)
	if !ok {
		return false, nil // another strategy has granted it
	}
	st, err := s.initialised()
	if err != nil {
		return false, err
	}
	stored, err := st.writer.store(ctx, lease.Key, value, opts, state)
	if err != nil && mayHaveDone(err) {
		st.leaser.releaseLater(lease.Key, state.token) // it may not have been used up
	}
	return stored, err
}

// Release implements driver.Leaser: one script. If that fails, it is tried again in the background.
func (s *Strategy) Release(ctx context.Context, lease *driver.Lease) error {
	state, ok := stateOf(lease)
	if !ok {
		return nil
	}
	st, err := s.initialised()
	if err != nil {
		return err
	}
	err = st.leaser.release(ctx, lease.Key, state.token)
	if err != nil {
		st.leaser.releaseLater(lease.Key, state.token)
	}
	return err
}

// Notify implements driver.Notifier: a subscription to the channel with the name of the lease.
func (s *Strategy) Notify(ctx context.Context, key string) <-chan struct{} {
	if st, err := s.initialised(); err == nil {
		if conn, err := st.client.connected(ctx); err == nil {
			return notify(ctx, st.client, conn, st.keys.of(key).lease())
		}
	}
	return make(chan struct{})
}

// Track starts a Tracker on an initialised Strategy. It must be closed before the Strategy is
// destroyed. The error is ErrLentClient, driver.ErrClosed, or a driver.OptionError.
func (s *Strategy) Track(listener Listener, options TrackerOptions) (*Tracker, error) {
	st, err := s.initialised()
	if err != nil {
		return nil, err
	}
	if st.client.external {
		return nil, ErrLentClient
	}
	if options, err = options.withDefaults(st.client.logger); err != nil {
		return nil, err
	}
	return newTracker(s, st, listener, options), nil
}
