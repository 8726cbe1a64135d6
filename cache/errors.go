package cache

import (
	"errors"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/entry"
	"github.com/fxcache/fxcache/cache/internal/revocation"
	"github.com/fxcache/fxcache/internal/chain"
)

// The sentinels that callers can test for with errors.Is. Every error that Service returns wraps
// its cause in an [Error]. None contains a key, a tag or a value.
var (
	// ErrNotStarted: the Service was used before Start.
	ErrNotStarted = driver.ErrNotStarted
	// ErrClosed: the Service was used after Stop.
	ErrClosed = driver.ErrClosed
	// ErrInvalidKey: a key or tag is empty or longer than max_key_bytes.
	ErrInvalidKey = driver.ErrInvalidKey
	// ErrInvalidTTL: a TTL is negative.
	ErrInvalidTTL = driver.ErrInvalidTTL
	// ErrValueTooLarge: an encoded value is longer than max_value_bytes or than the strategy can
	// hold.
	ErrValueTooLarge = driver.ErrValueTooLarge
	// ErrTooManyTags: an entry has more than max_tags tags.
	ErrTooManyTags = driver.ErrTooManyTags
	// ErrUnavailable: the storage could not be reached, or not in time. It is not known whether the
	// operation was applied.
	ErrUnavailable = driver.ErrUnavailable
	// ErrOverloaded is an ErrUnavailable that says nothing about the storage: too much is under way
	// in this process, and the operation, or the load, was not begun.
	ErrOverloaded = driver.ErrOverloaded
	// ErrNotReplicated: a revocation was applied, but fewer replicas confirmed it in time than the
	// configuration asks for. If the server is lost now, the revocation may be undone.
	ErrNotReplicated = driver.ErrNotReplicated
	// ErrUnsupported: the strategy lacks the optional part that the operation needs.
	ErrUnsupported = driver.ErrUnsupported
	// ErrNotFound is what a loader returns if there is nothing to load. GetOrLoad returns it to
	// every waiting caller. It stores nothing, except with Policy.NegativeTTL, which remembers
	// that.
	ErrNotFound = errors.New("cache: not found")
	// ErrUnchanged is what the write of an Update wraps its error with if it has changed nothing
	// that makes the entry wrong: the entry then stays.
	ErrUnchanged = errors.New("cache: nothing has changed")
	// ErrRecursiveLoad: a loader asked for what it loads itself, directly or by way of other
	// loaders. The contexts of loaders tell. The loader may go on without the value; if it returns
	// the error, its load ends with it. Package refreshing, package requestscope and the session
	// cache return it too.
	ErrRecursiveLoad = chain.ErrRecursiveLoad
	// ErrForeign is what the error of a decoder wraps if an entry is whole, but of a form that it
	// does not know, such as that of a later release. Such an entry is a miss, and stays until it
	// is replaced: it belongs to somebody. What a decoder cannot read otherwise is damaged, and
	// deleted.
	ErrForeign = entry.ErrForeign
	// ErrEncoding: a value could not be encoded by the codec. The codec's own error is wrapped, but
	// its text is left out, because it may quote the value.
	ErrEncoding = entry.ErrEncoding
	// ErrRevocationPending: a Delete, InvalidateTags or Clear could not be applied. It is queued; a
	// [PendingError] says until when others may still serve what was revoked.
	ErrRevocationPending = revocation.ErrPending
)

// What applications need of package driver.
type (
	// SetOptions say how one entry is stored: its TTL and its tags.
	SetOptions = driver.SetOptions
	// OptionError reports one option that has an unusable value.
	OptionError = driver.OptionError
	// PanicError is what became of a panic in a loader, a codec, a function of a Policy or a
	// strategy.
	PanicError = driver.PanicError
	// Secret is a string that never prints itself, such as a session token.
	Secret = driver.Secret
)

// NewSecret returns the Secret that hides text.
func NewSecret(text string) Secret { return driver.NewSecret(text) }

// Error is the one wrapper that Service puts around whatever went wrong; find it with errors.As. It
// never contains a key, a tag or a value.
type Error struct {
	// Op is the operation: "get", "set", "update", "delete", "invalidate", "lease", "extend",
	// "fill", "release", "clear", "load", "start" or "stop".
	Op string
	// Strategy is the name of the strategy, as in the configuration.
	Strategy string
	// Err is the cause.
	Err error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("cache %s (%s): %v", e.Op, e.Strategy, e.Err) }

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// PendingError says that a revocation could not be applied, and is tried again in the background.
// The Service that returned it serves no hit until it is applied. errors.Is finds
// ErrRevocationPending and the cause.
type PendingError struct {
	// Until is when the last entry that is concerned will have expired: others that share the
	// storage may serve what was revoked until it is applied, and no longer than this.
	Until time.Time
	// Err is why it could not be applied.
	Err error
}

// Error implements error.
func (e *PendingError) Error() string {
	return fmt.Sprintf("%v, and may be served elsewhere until %s at the latest: %v",
		ErrRevocationPending, e.Until.UTC().Format(time.RFC3339), e.Err)
}

// Unwrap returns ErrRevocationPending and the cause, for errors.Is and errors.As.
func (e *PendingError) Unwrap() []error { return []error{ErrRevocationPending, e.Err} }
