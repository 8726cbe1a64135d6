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

// The sentinel errors, for errors.Is. Every error that Service returns wraps its cause in an
// [Error]. No error text contains a key, a tag or a value.
var (
	// ErrNotStarted: the Service was used before Start.
	ErrNotStarted = driver.ErrNotStarted
	// ErrClosed: the Service was used after Stop.
	ErrClosed = driver.ErrClosed
	// ErrInvalidKey: a key or tag is empty or longer than max_key_bytes.
	ErrInvalidKey = driver.ErrInvalidKey
	// ErrInvalidTTL: a TTL is negative, or above zero and below a millisecond.
	ErrInvalidTTL = driver.ErrInvalidTTL
	// ErrValueTooLarge: an encoded value is longer than max_value_bytes, or than the strategy can
	// hold.
	ErrValueTooLarge = driver.ErrValueTooLarge
	// ErrTooManyTags: an entry has more than max_tags tags.
	ErrTooManyTags = driver.ErrTooManyTags
	// ErrUnavailable: the storage could not be reached, or did not answer in time. It is not known
	// whether the operation was applied.
	ErrUnavailable = driver.ErrUnavailable
	// ErrOverloaded is an ErrUnavailable that says nothing about the storage. This process has too
	// much under way, so the operation or the load was not started.
	ErrOverloaded = driver.ErrOverloaded
	// ErrNotReplicated: a revocation was applied, but fewer replicas confirmed it in time than the
	// configuration asks for. If the server is lost now, the revocation may be undone.
	ErrNotReplicated = driver.ErrNotReplicated
	// ErrNotPropagated: a change was applied, but the context ended before all nodes were known to
	// have noticed. A [PropagationError] says for how long they may not have.
	ErrNotPropagated = errors.New("cache: applied, but maybe not noticed by every node yet")
	// ErrUnsupported: the strategy lacks the optional part that the operation needs.
	ErrUnsupported = driver.ErrUnsupported
	// ErrNotFound is what a loader returns if there is nothing to load. GetOrLoad returns it to
	// every waiting caller. It stores nothing, except with Policy.NegativeTTL.
	ErrNotFound = errors.New("cache: not found")
	// ErrUnchanged is what the error of an Update's write wraps if the write has changed nothing.
	// The stored entry then stays.
	ErrUnchanged = errors.New("cache: nothing has changed")
	// ErrNotModified is what a loader's error wraps if the value that [Previous] returned to it is
	// still the right one. That value is then the result, and is stored anew, with a new TTL. It is
	// an error if Previous has returned none to that loader: GetOrLoad returns one that wraps
	// ErrNotModified, and nothing is stored.
	ErrNotModified = chain.ErrNotModified
	// ErrRecursiveLoad: a loader asked for the value that it loads itself, directly or through
	// other loaders. It is found by the loader's context. The loader may go on without the value.
	// If it returns the error instead, its load fails with it. Packages refreshing and requestscope
	// and the session cache return it too.
	ErrRecursiveLoad = chain.ErrRecursiveLoad
	// ErrForeign is what a decoder's error wraps if an entry is intact but has a form that the
	// decoder does not know, for example that of a later release. Such an entry is a miss. It stays
	// until it is replaced, because another process may still need it. Any other error of a decoder
	// means that the entry is damaged, and it is deleted.
	ErrForeign = entry.ErrForeign
	// ErrEncoding: the codec could not encode a value. The codec's own error is wrapped, but its
	// text is left out, because it may quote the value.
	ErrEncoding = entry.ErrEncoding
	// ErrRevocationPending: a Delete, InvalidateTags or Clear could not be applied yet. It is
	// queued and tried again. A [PendingError] says until when others may still serve what was
	// revoked.
	ErrRevocationPending = revocation.ErrPending
)

// The types of package driver that applications need.
type (
	// SetOptions say how one entry is stored: its TTL and its tags.
	SetOptions = driver.SetOptions
	// OptionError reports one option that has an unusable value.
	OptionError = driver.OptionError
	// PanicError is the error that a panic becomes in a loader, a codec, a strategy or a function
	// of a Policy.
	PanicError = driver.PanicError
	// Secret is a string that never prints itself, for example a session token.
	Secret = driver.Secret
)

// NewSecret returns the Secret that hides text.
func NewSecret(text string) Secret { return driver.NewSecret(text) }

// Error is the wrapper of every error that Service and [Cache] return, except the errors of loaders
// and writes, which come back as they are. Find it with errors.As. Its own text never contains a
// key, a tag or a value.
type Error struct {
	// Op is the operation: "get", "set", "update", "delete", "invalidate", "lease", "extend",
	// "fill", "release", "clear", "load", "start", "reconfigure" or "stop".
	Op string
	// Store is the name of the store. It is empty if several stores failed, and before NewService.
	Store string
	// Strategy is the name of the strategy, as in the configuration. It is empty if several stores
	// failed.
	Strategy string
	// Err is the cause.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	switch e.Store {
	case "":
		return fmt.Sprintf("cache %s: %v", e.Op, e.Err)
	case defaultStore:
		return fmt.Sprintf("cache %s (%s): %v", e.Op, e.Strategy, e.Err)
	default:
		return fmt.Sprintf("cache %s (%s: %s): %v", e.Op, e.Store, e.Strategy, e.Err)
	}
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// together returns the failures of several stores as one error: nil, the only one, or an Error
// whose PendingError, if there is any, ends with the last of them.
func together(op string, failures []error) error {
	var failed []error
	var last *PendingError
	for _, err := range failures {
		var pending *PendingError
		if err != nil {
			failed = append(failed, err)
		}
		if errors.As(err, &pending) && (last == nil || pending.Until.After(last.Until)) {
			last = pending
		}
	}
	switch len(failed) {
	case 0:
		return nil
	case 1:
		return failed[0]
	}
	joined := errors.Join(failed...)
	if last != nil {
		joined = &PendingError{Until: last.Until, Err: joined}
	}
	return &Error{Op: op, Err: joined}
}

// pendingOf returns the failures of several storages of one store as one error, with the latest end
// of all revocations that are pending.
func pendingOf(failures []error) error {
	err := together("", failures)
	var several *Error
	if errors.As(err, &several) && several.Op == "" {
		return several.Err
	}
	return err
}

// StoreError is an error of one of the further stores of a Service. Find it with errors.As.
type StoreError struct {
	// Name is the name of the store.
	Name string
	// Err is what is wrong.
	Err error
}

// Error implements error.
func (e *StoreError) Error() string { return fmt.Sprintf("cache: the store %q: %v", e.Name, e.Err) }

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *StoreError) Unwrap() error { return e.Err }

// InvalidKeysError says which of several keys or tags can name nothing: they are empty or too long.
// If it is that of a Delete or InvalidateTags, the others were revoked, or are pending as a
// [PendingError] beside it says. Like every error, it does not wait for other nodes
// (driver.Propagator). Find it with errors.As. errors.Is finds ErrInvalidKey. No text
// contains a key or a tag.
type InvalidKeysError struct {
	// Indexes are the positions of the unusable ones among Of, in ascending order. The first
	// position is 0. There is at least one.
	Indexes []int
	// Of is how many keys or tags there were.
	Of int
	// Limit is max_key_bytes.
	Limit driver.Size
}

// Error implements error.
func (e *InvalidKeysError) Error() string {
	const most = 10
	text := fmt.Sprintf("%v (%d): %d of %d are not usable, at index", ErrInvalidKey, e.Limit, len(e.Indexes), e.Of)
	for i, index := range e.Indexes[:min(most, len(e.Indexes))] {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(" %d", index)
	}
	if len(e.Indexes) > most {
		text += " and more"
	}
	return text
}

// Unwrap returns ErrInvalidKey.
func (e *InvalidKeysError) Unwrap() error { return ErrInvalidKey }

// PendingError says that a revocation could not be applied, and is tried again in the background.
// The Service that returned it serves no hit until the revocation is applied. Find it with
// errors.As. errors.Is finds ErrRevocationPending and the cause.
type PendingError struct {
	// Until is when the last revoked entry will have expired. Other processes that share the
	// storage may serve what was revoked until the revocation is applied, but not after Until.
	Until time.Time
	// Err is why the revocation could not be applied.
	Err error
}

// Error implements error.
func (e *PendingError) Error() string {
	retries := "it is being retried"
	if errors.Is(e.Err, ErrClosed) {
		retries = "nobody retries it, because the Service has stopped"
	}
	return fmt.Sprintf("%v; %s, and what was revoked may be served elsewhere until %s at the latest: %v",
		ErrRevocationPending, retries, e.Until.UTC().Format(time.RFC3339), e.Err)
}

// Unwrap returns ErrRevocationPending and the cause, for errors.Is and errors.As.
func (e *PendingError) Unwrap() []error { return []error{ErrRevocationPending, e.Err} }
