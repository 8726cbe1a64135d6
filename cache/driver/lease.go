package driver

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Leaser is an optional part of a Strategy. It closes the race that every plain read-through cache
// has: a loader reads the old row, a writer commits a new one and invalidates, and then the loader
// stores the old row. Leases follow Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013.
//
// For a Strategy without Leaser, the Service fences within its own process. Fills are then correct
// against invalidations that are made through the same Service, but not against those of another
// process on the same storage.
type Leaser interface {
	Strategy

	// GetOrLease is Get. On a miss it also asks for a lease on key, as Lease does. If an error is
	// returned although a lease may have been granted, because the answer was lost or ctx ended
	// before it came, the strategy releases that lease: nobody else knows of it, and everybody
	// would wait until it expires. The same holds for a lease whose Fill or Release failed.
	GetOrLease(ctx context.Context, key string) (value []byte, found bool, lease *Lease, err error)

	// Lease asks for the exclusive right to store key once, whether or not key is stored now. A nil
	// lease with a nil error means that somebody else holds it.
	Lease(ctx context.Context, key string) (*Lease, error)

	// Fill stores what was computed under lease, as Set does, and gives the lease up. stored is
	// false, and nothing is written, if since the lease was granted key was deleted or set, any tag
	// of opts.Tags was invalidated, or the lease expired. A Fill that is refused with an error
	// hides a previous value, as Set does.
	Fill(ctx context.Context, lease *Lease, value []byte, opts SetOptions) (stored bool, err error)

	// Release gives a lease up unused, so that the next caller does not wait until it expires. It
	// changes no entry, and frees no other lease. A nil, used or expired lease is fine.
	Release(ctx context.Context, lease *Lease) error
}

// LeaseLimiter is an optional part of a Leaser. LeaseTTL is how long a lease is good at most,
// extended or not. For that long, a loader that holds a lease from before a revocation which could
// not be applied may still store what it has read. Without LeaseLimiter, a minute is assumed.
type LeaseLimiter interface {
	LeaseTTL() time.Duration
}

// MaxLeaseTTL is the LeaseTTL of the strategies of this module, except for those whose leases are
// good for longer without being extended.
const MaxLeaseTTL = 5 * time.Minute

// LeaseExtender is an optional part of a Leaser whose leases end soon unless they are extended.
// Then nobody waits long for a holder that has died, and a holder that lives may take its time. The
// Service extends a lease three times a term while its loader runs. Without LeaseExtender, what a
// loader returns after LeaseTTL is not stored.
type LeaseExtender interface {
	// LeaseTerm is how long a lease is good that is not extended.
	LeaseTerm() time.Duration

	// Extend makes a lease that is still held good for another term from now. It changes nothing
	// else: what would have refused the Fill before still does. held is false, and nothing is
	// changed, if the lease was used, given up or revoked, if it has expired, or if it would be
	// good for longer than LeaseTTL in all. A nil lease is not held.
	Extend(ctx context.Context, lease *Lease) (held bool, err error)
}

// BatchLeaser is an optional part of a Leaser: the leases of many keys in one round trip for each
// node of the storage. Each method answers for the keys one by one: the result at i belongs to the
// key, lease or fill at i, and one that fails stops none of the others. The keys of a call differ.
// A method keeps no reference to its arguments. Without BatchLeaser, the Service asks for one key
// after the other.
type BatchLeaser interface {
	// GetOrLeaseMany is Leaser.GetOrLease for each of keys.
	GetOrLeaseMany(ctx context.Context, keys []string) []LeaseResult
	// LeaseMany is Leaser.Lease for each of keys. No result has a value.
	LeaseMany(ctx context.Context, keys []string) []LeaseResult
	// ExtendMany is LeaseExtender.Extend for each of leases. It is called only if the Strategy is a
	// LeaseExtender.
	ExtendMany(ctx context.Context, leases []*Lease) []HoldResult
	// FillMany is Leaser.Fill for each of fills.
	FillMany(ctx context.Context, fills []Fill) []FillResult
	// ReleaseMany is Leaser.Release for each of leases.
	ReleaseMany(ctx context.Context, leases []*Lease) []error
}

// LeaseResult is what Leaser.GetOrLease returns, for one of many keys.
type LeaseResult struct {
	Value []byte
	Found bool
	Lease *Lease
	Err   error
}

// HoldResult is what LeaseExtender.Extend returns, for one of many leases.
type HoldResult struct {
	Held bool
	Err  error
}

// Fill is what Leaser.Fill takes, for one of many leases.
type Fill struct {
	Lease   *Lease
	Value   []byte
	Options SetOptions
}

// FillResult is what Leaser.Fill returns, for one of many leases.
type FillResult struct {
	Stored bool
	Err    error
}

// Notifier is an optional part of a Leaser: callers that wait for somebody else's lease need not
// ask all the time.
type Notifier interface {
	// Notify returns a channel that is closed soon after the lease on key was used or given up. It
	// may be closed for no reason, and a notice may be lost, so callers also look from time to
	// time. The notification ends with ctx.
	Notify(ctx context.Context, key string) <-chan struct{}
}

// Lease is the right to store one key once. The Strategy that granted it understands it. Callers
// hand it back unchanged, to Fill or Release, and use it at most once.
type Lease struct {
	// Key is the key that the lease is for.
	Key string
	// Sequence orders the lease among the events of the strategy that granted it, for its own use.
	Sequence uint64
	// State is whatever else that strategy needs in Fill. Nobody else looks at it.
	State any
}

// leaseText is how a Lease prints.
const leaseText = "driver.Lease"

// Format implements fmt.Formatter: no verb and no flag prints the key and the token.
func (l Lease) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, leaseText) }

// MarshalText implements encoding.TextMarshaler, and so JSON's, with the same text as Format.
func (l Lease) MarshalText() ([]byte, error) { return []byte(leaseText), nil }

// MarshalBinary implements encoding.BinaryMarshaler, and so gob's, likewise.
func (l Lease) MarshalBinary() ([]byte, error) { return l.MarshalText() }
