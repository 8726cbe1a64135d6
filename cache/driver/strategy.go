package driver

import (
	"context"
	"time"
)

// Strategy is where entries are stored, and the plug-in point of the framework (Vendure's
// CacheStrategy). All methods are safe for concurrent use.
//
// Keys and tags arrive as "<namespace>:<name>". The Service has validated them: after the namespace
// they have at most Limits.MaxKeyBytes and one byte more. Otherwise they are arbitrary bytes. A
// strategy must keep different keys apart whatever bytes they hold, and must keep a key apart from
// a tag of the same name.
//
// A method returns promptly when ctx ends. A write that was given up because its ctx ended may or
// may not have been applied. It must not be applied after it has returned. A strategy whose client
// cannot promise that ctx is listened to works as well: unless it is [Cancellable] or [Local], the
// Service runs each operation in a goroutine of its own, and gives it up when its time is up. Until
// a write that was given up has ended, no revocation of its entry succeeds, and no other write of
// its key; 1,024 operations and 128 revocations may be under way. A decorator embeds the marker
// methods of what it embeds: one that may wait itself must be [Featured].
//
// Destroy may come before Init, twice, and while operations are under way. Every method may be
// called before Init and after Destroy. It may fail then, but it returns, and does not panic. After
// Destroy, Init may come again; what was deleted or invalidated before stays so, and leases from
// before are refused.
//
// A Get returns an entry as it was stored, or not at all, however many goroutines write the key. A
// strategy that has no room evicts other entries, the oldest rather than the newest. It does so for
// no value that it refuses.
//
// A strategy returns its raw errors; the Service wraps them once. An error that concerns a single
// key, because the storage holds something other than an entry there, wraps [ErrBadEntry]. Any
// other error of a read or a fill counts as a failure of the storage. After enough failures the
// Service leaves the storage alone for a moment.
//
// A strategy may have these optional parts, which [FeaturesOf] finds:
//
//   - [Leaser], and with it [LeaseLimiter], [LeaseExtender] and [Notifier]: leases, which close the
//     race between a loader and an invalidation, also between processes.
//   - [Batcher], [BatchLeaser] and [Hinted]: fewer round trips.
//   - [Near]: copies in the process, in front of the storage.
//   - [Clearer]: everything becomes unreadable at once.
//   - [Initializer] and [Destroyer]: connections, goroutines, what the application exports.
//   - [Shared]: the storage outlives the process, or is shared with other processes.
//   - [Located]: where the storage is, for logs.
//   - [Propagator]: other nodes may serve for a moment what was revoked, from their own memory.
//   - [Local]: no operation ever leaves the process.
//   - [Cancellable]: every operation ends with its ctx.
//   - [Featured]: a decorator, which has the parts of what it decorates.
type Strategy interface {
	// Get returns the value stored under key. A miss is found == false and err == nil. An error is
	// neither a miss nor a hit. An expired entry is a miss, and so is one with a tag that was
	// invalidated after the entry was written. The returned bytes belong to the caller.
	Get(ctx context.Context, key string) (value []byte, found bool, err error)

	// Set stores value under key and replaces a previous entry as a whole: its value, its TTL and
	// its tags. The strategy keeps no reference to value or opts.Tags after Set returns. A Set that
	// is refused or that fails must not leave the previous value readable, as far as the storage
	// can be reached and ctx has not ended before. opts.TTL is positive; otherwise Set is refused
	// with ErrInvalidTTL.
	Set(ctx context.Context, key string, value []byte, opts SetOptions) error

	// Delete removes keys. It returns nil only if every key is gone. A key that was not there is
	// fine, and so is an empty list.
	Delete(ctx context.Context, keys ...string) error

	// InvalidateTags makes every entry that carries any of tags, and was written before this call,
	// unreadable for good. It returns nil only if that is done. Unknown tags and an empty list are
	// fine. The cost should not depend on how many entries carry a tag.
	InvalidateTags(ctx context.Context, tags ...string) error
}

// SetOptions say how one entry is stored.
type SetOptions struct {
	// TTL is how long the entry may be read, exact to the millisecond. A positive TTL below that
	// counts as one millisecond. Zero means the Service's default_ttl. A negative one is
	// ErrInvalidTTL. A Strategy always receives a positive TTL.
	TTL time.Duration
	// Tags under which InvalidateTags finds the entry. Order and duplicates mean nothing.
	Tags []string
}

// Initializer is an optional part of a Strategy that opens something, or that needs what the
// application exports. Init runs once per start, before any other method. in may be used during
// Init only. After a failed Init nothing stays open. A Strategy may be initialised again after
// Destroy.
type Initializer interface {
	Init(ctx context.Context, in Injector) error
}

// Destroyer is an optional part of a Strategy. Destroy releases what Init opened within ctx, and
// ends every goroutine. It may be called more than once.
type Destroyer interface {
	Destroy(ctx context.Context) error
}

// Clearer is an optional part of a Strategy. Clear makes every entry unreadable, if possible at a
// cost that does not depend on how many there are.
type Clearer interface {
	Clear(ctx context.Context) error
}

// Hinted is an optional part of a Strategy. GetHinted is Get for a key whose entry is expected to
// carry exactly tags. With that hint, a storage can fetch what it needs to judge the tags together
// with the entry. The hint may be wrong; the answer is that of Get.
type Hinted interface {
	GetHinted(ctx context.Context, key string, tags []string) (value []byte, found bool, err error)
}

// Batcher is an optional part of a Strategy: many entries in one round trip for each node of the
// storage. Without it, the Service asks for one entry after the other. The Service uses SetMany
// only if the Strategy is a Leaser too.
type Batcher interface {
	// GetMany is Get for each of keys. The result at i belongs to keys[i], and its bytes to the
	// caller alone, even if a key occurs twice. tags, unless nil, are a hint as for [Hinted].
	GetMany(ctx context.Context, keys []string, tags []string) []Result
	// SetMany is Set for each of items, whose keys differ. The error at i belongs to items[i]. An
	// item that is refused hides the previous value, as in Set, and stops none of the others.
	// SetMany keeps no reference to items.
	SetMany(ctx context.Context, items []Item) []error
}

// Result is what Get returns, for one of many keys.
type Result struct {
	Value []byte
	Found bool
	Err   error
}

// Item is what Set takes, for one of many keys.
type Item struct {
	Key     string
	Value   []byte
	Options SetOptions
}

// Local is an optional part of a Strategy, a marker: no operation ever waits for anything outside
// the process. The Service then does without a deadline for each operation.
type Local interface {
	Local()
}

// Cancellable is an optional part of a Strategy, a marker: every method, those of its optional
// parts included, returns promptly when its ctx ends, whatever the storage does. The Service then
// runs operations in the goroutine of the caller, which is quicker. drivertest.Stall proves it.
type Cancellable interface {
	Cancellable()
}

// Shared is an optional part of a Strategy whose storage outlives the process, or is shared with
// other processes. A Service over one needs a namespace of its own. It notes with each pending
// revocation which storage has to forget the entry.
type Shared interface {
	// StorageID names the storage. It is the same in all processes that use the storage, differs
	// between two storages, and changes if the contents were lost. It is empty while it is not
	// known. It must not wait.
	StorageID() string
}

// Located is an optional part of a Strategy that can say where its storage is.
type Located interface {
	// Location is for logs: addresses, without secrets. Two strategies with the same Location use
	// the same storage, if it is Shared. It is known before Init, unless only Init can know it, and
	// empty while it is not known. It must not wait.
	Location() string
}
