package cache

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"
)

// The sentinels that callers can test for with errors.Is. Every error that Service returns wraps its
// cause in an [Error]; none contains a key, a tag or a value.
var (
	// ErrNotStarted: the Service was used before Start.
	ErrNotStarted = errors.New("cache: not started; call Service.Start first, or use it from an fx OnStart hook or later")
	// ErrClosed: the Service was used after Stop.
	ErrClosed = errors.New("cache: closed")
	// ErrInvalidKey: a key or tag is empty or longer than max_key_bytes.
	ErrInvalidKey = errors.New("cache: invalid key or tag: it must have between 1 and max_key_bytes bytes")
	// ErrInvalidTTL: a TTL is negative, or a Strategy was handed one that is not positive.
	ErrInvalidTTL = errors.New("cache: invalid TTL: it must not be negative")
	// ErrValueTooLarge: an encoded value is longer than max_value_bytes or than the strategy can hold.
	ErrValueTooLarge = errors.New("cache: value too large: raise max_value_bytes, or store less")
	// ErrTooManyTags: an entry has more than max_tags tags.
	ErrTooManyTags = errors.New("cache: too many tags: raise max_tags, or use fewer")
	// ErrUnavailable: the storage could not be reached, or not in time. Whether the operation was
	// applied is unknown.
	ErrUnavailable = errors.New("cache: storage unavailable")
	// ErrOverloaded is an ErrUnavailable that says nothing about the storage: too much is under way in this
	// process, and the operation, or the load, was not begun. A Strategy returns it to say so to the circuit
	// breaker.
	ErrOverloaded = fmt.Errorf("%w: too much is under way, and this was not begun", ErrUnavailable)
	// ErrEntryUnavailable is an ErrUnavailable that concerns one entry alone, which is large and was not transferred
	// in time. A Strategy returns it to say so to the circuit breaker.
	ErrEntryUnavailable = fmt.Errorf("%w: a large entry was not transferred in time", ErrUnavailable)
	// ErrNotReplicated: a revocation was applied, but fewer replicas confirmed it in time than the
	// configuration asks for; should the server be lost now, it may be undone.
	ErrNotReplicated = errors.New("cache: applied, but not confirmed by enough replicas")
	// ErrNotFound is what a loader returns when there is nothing to load: GetOrLoad returns it to
	// every waiting caller, and stores nothing but, with Policy.NegativeTTL, that.
	ErrNotFound = errors.New("cache: not found")
	// ErrUnchanged is what the write of an Update wraps its error with when it has changed nothing that
	// makes the entry wrong: the entry then stays.
	ErrUnchanged = errors.New("cache: nothing has changed")
	// ErrRecursiveLoad: a loader asked for what it loads itself, directly or by way of other loaders, whose
	// contexts tell. It may go on without; if it returns the error, that is how its load ends. [Memo],
	// [Refreshing] and the session cache return it too.
	ErrRecursiveLoad = errors.New("cache: a loader asks for what it is loading")
	// ErrBadEntry: a strategy could not do what it was asked to because the storage holds something else than an
	// entry under this key. The storage itself works, and other keys are not concerned.
	ErrBadEntry = errors.New("cache: the storage holds something else than an entry under this key")
	// ErrForeign is what the error of a decoder wraps where an entry is whole, but of a form that it does not know,
	// such as that of a later release. Such an entry is a miss, and stays until it is replaced: it
	// belongs to somebody. What a decoder cannot read otherwise is damaged, and deleted.
	ErrForeign = errors.New("cache: the entry is of another release, type or codec")
	// ErrEncoding: a value could not be encoded by the codec. The codec's own error is wrapped, but its
	// text is left out, because it may quote the value.
	ErrEncoding = errors.New("cache: value cannot be encoded")
	// ErrRevocationPending: a Delete, InvalidateTags or Clear could not be applied. It is queued; a
	// [PendingError] says until when others may still serve what was revoked.
	ErrRevocationPending = errors.New("cache: the revocation is not applied yet; it is being retried")
	// ErrUnsupported: the strategy lacks the optional part that the operation needs.
	ErrUnsupported = errors.New("cache: not supported by this strategy")
)

// Error is the one wrapper that Service puts around whatever went wrong; find it with errors.As. It
// never contains a key, a tag or a value.
type Error struct {
	// Op is the operation: "get", "set", "update", "delete", "invalidate", "lease", "extend", "fill", "release",
	// "clear", "load", "start" or "stop".
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
// The Service that returned it serves no hit until it is applied. errors.Is finds ErrRevocationPending and
// the cause.
type PendingError struct {
	// Until is when the last entry that is concerned will have expired: others that share the storage
	// may serve what was revoked until it is applied, and no longer than this.
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

// codecError is an error of a codec, of which only the type is said: its text may quote the value.
type codecError struct {
	reason error
	cause  func() error // and not the error, which fmt would find in here for some verbs
}

func newCodecError(reason, cause error) error {
	return &codecError{reason, func() error { return cause }}
}

// Error implements error.
func (e *codecError) Error() string { return fmt.Sprintf("%v (%T)", e.reason, e.cause()) }

// Format implements fmt.Formatter: every verb and flag prints the message, and none the cause.
func (e *codecError) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.Error()) }

// Unwrap returns both causes, for errors.Is and errors.As.
func (e *codecError) Unwrap() []error { return []error{e.reason, e.cause()} }

// PanicError is what came of a panic in code that is not this package's: a loader, which then reaches
// every caller that waits for it, a codec, a function of a Policy, a strategy.
type PanicError struct {
	// Value is what the loader panicked with; nil when it ended its goroutine (runtime.Goexit). It
	// is not part of the message, because it may hold anything.
	Value any
	// Stack is the loader's stack at the panic.
	Stack []byte
}

func newPanicError(value any) *PanicError {
	return &PanicError{Value: value, Stack: debug.Stack()}
}

// Error implements error.
func (e *PanicError) Error() string {
	if e.Value == nil {
		return "cache: a callback ended its goroutine"
	}
	return fmt.Sprintf("cache: a callback or strategy panicked with a %T", e.Value)
}

// Format implements fmt.Formatter: every verb and flag prints the message, and none the value or the stack.
func (e *PanicError) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.Error()) }

// MarshalText implements encoding.TextMarshaler, and so JSON's: it is the message.
func (e *PanicError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// MarshalBinary implements encoding.BinaryMarshaler, and so gob's, likewise.
func (e *PanicError) MarshalBinary() ([]byte, error) { return e.MarshalText() }

// Unwrap returns the panic's value where that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// OptionError reports one option that has an unusable value. A Validate method joins all it finds
// with errors.Join; the config package puts the full path of the section in front.
type OptionError struct {
	// Name is the option's key within its section, for example "max_size".
	Name string
	// Reason says what is wrong and what to write instead.
	Reason string
}

// Error implements error.
func (e *OptionError) Error() string { return e.Name + ": " + e.Reason }

// Option returns the parts of e; the config package looks for this method, without knowing e.
func (e *OptionError) Option() (name, reason string) { return e.Name, e.Reason }
