package cache

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Strategy is the CacheStrategy of the seed: the place where entries are stored, and the plug-in
// point of the framework. All methods are safe for concurrent use.
//
// Keys and tags arrive from [Service] as "<namespace>:<name>": validated, at most max_key_bytes and one byte
// long after the namespace, and otherwise arbitrary bytes. A strategy must keep different keys apart
// whatever bytes they hold, and a key apart from a tag of the same name.
//
// A method returns promptly when ctx ends. A write that was given up because its ctx ended may have
// been applied or not, but it must not be applied later than the strategy's own deadline: that is
// what leases are for.
//
// A strategy returns its raw errors; Service wraps them once in [Error]. An error that concerns no more than the
// key, because the storage holds there what is no entry, wraps [ErrBadEntry]: other errors of reads and fills count
// as failures of the storage, and enough of them make Service leave it alone for a moment.
type Strategy interface {
	// Get returns the value stored under key. A miss is found == false and err == nil; an error is
	// neither a miss nor a hit. An expired entry, or one with a tag that was invalidated after the
	// entry was written, is a miss. The returned bytes belong to the caller.
	Get(ctx context.Context, key string) (value []byte, found bool, err error)

	// Set stores value under key and replaces a previous entry whole: its value, TTL and tags. The
	// strategy keeps no reference to value or opts.Tags after Set returns. A Set that is refused or
	// that fails must not leave the previous value readable, as far as the storage can be reached and
	// ctx has not ended before.
	// opts.TTL is positive; anything else is refused with ErrInvalidTTL.
	Set(ctx context.Context, key string, value []byte, opts SetOptions) error

	// Delete removes keys. It returns nil only when every key is gone; a key that was not there is
	// fine, and so is an empty list.
	Delete(ctx context.Context, keys ...string) error

	// InvalidateTags makes every entry that carries any of tags, and was written before this call,
	// unreadable for good. It returns nil only when that is done. Unknown tags and an empty list are
	// fine. The cost should not depend on how many entries carry a tag.
	InvalidateTags(ctx context.Context, tags ...string) error
}

// SetOptions is the SetCacheKeyOptions of the seed: how one entry is stored.
type SetOptions struct {
	// TTL is how long the entry may be read, exact to the millisecond; a positive TTL below that
	// counts as one millisecond. Zero means the Service's default_ttl; negative is ErrInvalidTTL. A
	// Strategy is always handed a positive TTL.
	TTL time.Duration
	// Tags under which InvalidateTags finds the entry. Order and duplicates mean nothing.
	Tags []string
}

// Leaser is an optional part of a Strategy that closes the race every plain read-through cache has:
// a loader reads the old row, a writer commits a new one and invalidates, the loader stores the old
// row. Leases follow Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013.
//
// For a Strategy without Leaser, Service fences within its own process: fills there are still
// correct against invalidations made through the same Service, but not against those of another
// process on the same storage.
type Leaser interface {
	Strategy

	// GetOrLease is Get; on a miss it also asks for a lease on key, as Lease does. A lease that may have
	// been granted although an error is returned, because the answer was lost or ctx ended before it came, is
	// released: nobody knows of it, and everybody would wait until it expires. So is one whose Fill or
	// Release failed.
	GetOrLease(ctx context.Context, key string, tags []string) (value []byte, found bool, lease *Lease, err error)

	// Lease asks for the exclusive right to store key once, whether or not key is stored now. tags
	// are those known before the value is; Fill may add others. A nil lease with a nil error means
	// that another holder has it.
	Lease(ctx context.Context, key string, tags []string) (*Lease, error)

	// Fill stores what was computed under lease, as Set does, and gives the lease up. stored is
	// false, and nothing is written, when since the lease was granted key was deleted or set, any
	// tag of opts.Tags was invalidated (also one that the lease did not name), or the lease expired.
	// A Fill that is refused with an error hides a previous value, as Set does.
	Fill(ctx context.Context, lease *Lease, value []byte, opts SetOptions) (stored bool, err error)

	// Release gives a lease up unused, so that the next caller need not wait for it to expire. It
	// changes no entry, and frees no lease but this one. A nil, used or expired lease is fine.
	Release(ctx context.Context, lease *Lease) error
}

// LeaseLimiter is an optional part of a Leaser: LeaseTTL is how long a lease is good at the most, extended
// or not. A loader that has one from before a revocation which could not be applied may store what it
// read for so long. Without it a minute is assumed.
type LeaseLimiter interface {
	LeaseTTL() time.Duration
}

// MaxLeaseTTL is the LeaseTTL of the strategies of this module, unless a lease is good for longer without
// being extended.
const MaxLeaseTTL = 5 * time.Minute

// LeaseExtender is an optional part of a Leaser whose leases end soon unless they are extended, so that
// nobody waits long for a holder who has died, and those who live may take longer than that. Service
// extends a lease three times a term for as long as its loader runs. For a Leaser without it, what a
// loader returns after LeaseTTL is never stored.
type LeaseExtender interface {
	// LeaseTerm is how long a lease is good that is not extended. A decorator of a Leaser that is no
	// LeaseExtender returns 0, and is none either.
	LeaseTerm() time.Duration

	// Extend makes a lease that is still held good for another term from now. It changes nothing else:
	// what would refuse the Fill before does so after. held is false, and nothing is changed, when the lease
	// is used, given up or revoked, when it expired, also where nobody else has it, or when it would
	// be good for longer than LeaseTTL in all. A nil lease is not held.
	Extend(ctx context.Context, lease *Lease) (held bool, err error)
}

// Lease is the right to store one key once. It is granted and understood by one Strategy; callers
// hand it back unchanged, to Fill or Release, and use it at most once.
type Lease struct {
	// Key is the key that the lease is for.
	Key string
	// Tags are those that the lease was asked with.
	Tags []string
	// Sequence orders the lease among the granting strategy's events; for its own use.
	Sequence uint64
	// State is whatever else the granting strategy needs in Fill; nobody else looks at it.
	State any
}

// Format implements fmt.Formatter: no verb and no flag prints the key, the tags and the token.
func (l Lease) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, leaseText) }

// MarshalText implements encoding.TextMarshaler, and so JSON's, with the same text as Format.
func (l Lease) MarshalText() ([]byte, error) { return []byte(leaseText), nil }

// MarshalBinary implements encoding.BinaryMarshaler, and so gob's, likewise.
func (l Lease) MarshalBinary() ([]byte, error) { return l.MarshalText() }

// leaseText is how a Lease prints.
const leaseText = "cache.Lease"

// Initializer is the init half of the seed's InjectableStrategy: a Strategy that needs to open
// something, or needs what the application exports, implements it. Init runs once per start, before
// any other method; in may be used during Init only. After a failed Init nothing stays open.
// A Strategy may be initialised again after Destroy.
type Initializer interface {
	Init(ctx context.Context, in Injector) error
}

// Destroyer is the destroy half of the seed's InjectableStrategy. Destroy releases what Init opened
// within ctx, ends every goroutine, and may be called more than once.
type Destroyer interface {
	Destroy(ctx context.Context) error
}

// Clearer is an optional part of a Strategy: Clear makes every entry unreadable, where possible at a cost
// that does not depend on how many there are. A decorator returns ErrUnsupported where what it decorates is no
// Clearer.
type Clearer interface {
	Clear(ctx context.Context) error
}

// Hinted is an optional part of a Strategy: GetHinted is Get for a key whose entry is expected to carry
// exactly tags, which lets a storage fetch what it needs to judge them together with the entry. The
// hint may be wrong; the answer is that of Get.
type Hinted interface {
	GetHinted(ctx context.Context, key string, tags []string) (value []byte, found bool, err error)
}

// Notifier is an optional part of a Leaser: those who wait for somebody else's lease need not ask all
// the time.
type Notifier interface {
	// Notify returns a channel that is closed soon after the lease on key was used or given up. It may
	// be closed for no reason, and a notice may be lost: who waits looks again from time to time. The
	// notification ends with ctx.
	Notify(ctx context.Context, key string) <-chan struct{}
}

// Local is an optional part of a Strategy, a marker: no operation ever waits for anything outside
// the process. Service then saves the timer of a per-operation deadline.
type Local interface {
	Local()
}

// Shared is an optional part of a Strategy whose storage outlives the process, or is shared with others. A
// Service over one needs a namespace of its own, and notes with each revocation that it owes which storage that is.
type Shared interface {
	// StorageID names the storage: alike in all processes that use it, never alike in two storages, and
	// another one after the contents were lost. Empty while it is not known. It must not wait.
	StorageID() string
}

// Unwrapper is implemented by a Strategy that decorates another one, such as a test double.
type Unwrapper interface {
	Unwrap() Strategy
}
