package driver

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// The errors that a Strategy returns. The Service wraps them once. It tells them apart with
// errors.Is, and some of them decide whether its circuit breaker counts a failure. None contains a
// key, a tag or a value.
var (
	// ErrNotStarted: the storage was used before Init, or the Service before Start.
	ErrNotStarted = errors.New("cache: not started; call Service.Start first, or use it from an fx OnStart hook or later")
	// ErrClosed: the storage was used after Destroy, or the Service after Stop.
	ErrClosed = errors.New("cache: closed")
	// ErrInvalidKey: a key or tag is empty or longer than max_key_bytes, or than the strategy can
	// hold.
	ErrInvalidKey = errors.New("cache: invalid key or tag: it must have between 1 and max_key_bytes bytes")
	// ErrInvalidTTL: a Strategy was handed a TTL that is not positive, or the Service a negative
	// one, or one below a millisecond.
	ErrInvalidTTL = errors.New("cache: invalid TTL: it must not be negative")
	// ErrValueTooLarge: an encoded value is longer than max_value_bytes, or than the strategy can
	// hold.
	ErrValueTooLarge = errors.New("cache: value too large: raise max_value_bytes, or store less")
	// ErrTooManyTags: an entry has more tags than max_tags, or than the strategy can hold.
	ErrTooManyTags = errors.New("cache: too many tags: raise max_tags, or use fewer")
	// ErrUnavailable: the storage could not be reached, or not in time. It is not known whether the
	// operation was applied.
	ErrUnavailable = errors.New("cache: storage unavailable")
	// ErrOverloaded is an ErrUnavailable that says nothing about the storage: too much is under way
	// in this process, and the operation was not begun. The circuit breaker ignores it.
	ErrOverloaded = fmt.Errorf("%w: too much is under way, and this was not begun", ErrUnavailable)
	// ErrEntryUnavailable is an ErrUnavailable that concerns a single, large entry, which was not
	// transferred in time. The circuit breaker ignores it.
	ErrEntryUnavailable = fmt.Errorf("%w: a large entry was not transferred in time", ErrUnavailable)
	// ErrNotReplicated: a revocation was applied, but fewer replicas confirmed it in time than the
	// configuration asks for. If the server is lost now, the revocation may be undone.
	ErrNotReplicated = errors.New("cache: applied, but not confirmed by enough replicas")
	// ErrBadEntry: the storage holds something other than an entry under this key. The storage
	// itself works, and other keys are not affected. The circuit breaker ignores it.
	ErrBadEntry = errors.New("cache: the storage holds something else than an entry under this key")
	// ErrUnsupported: the strategy lacks the optional part that the operation needs.
	ErrUnsupported = errors.New("cache: not supported by this strategy")
)

// OptionError reports one option that has an unusable value. A Validate method joins all that it
// finds with errors.Join. The config package puts the full path of the section in front.
type OptionError struct {
	// Name is the option's key within its section, for example "max_size".
	Name string
	// Reason says what is wrong, and what to write instead.
	Reason string
}

// Error implements error.
func (e *OptionError) Error() string { return e.Name + ": " + e.Reason }

// Option returns the parts of e. The config package looks for this method, without knowing e.
func (e *OptionError) Option() (name, reason string) { return e.Name, e.Reason }

// PanicError is the error that a panic becomes in code that is not the cache's own: a loader, a
// codec, a strategy or a function of a policy. If a loader panics, every caller that waits for it
// gets the error.
type PanicError struct {
	// Value is what the code panicked with. It is nil if the code ended its goroutine
	// (runtime.Goexit). The message has its type, and does not quote it: it may hold anything.
	Value any
	// Stack is the stack at the panic.
	Stack []byte
	// Frames are the first calls of the stack: the function that panicked, and who called it, each
	// with file and line.
	Frames []string
	// Cache is the name of the cache whose loader or write it was. It is empty for other code.
	Cache string
}

// Error implements error.
func (e *PanicError) Error() string {
	if e.Value == nil {
		return "cache: a callback ended its goroutine"
	}
	text := fmt.Sprintf("cache: a callback or strategy panicked with a %T", e.Value)
	if e.Cache != "" {
		text = fmt.Sprintf("cache %q: a loader or a write panicked with a %T", e.Cache, e.Value)
	}
	if len(e.Frames) > 0 {
		text += ", in " + strings.Join(e.Frames, ", called by ")
	}
	return text
}

// Format implements fmt.Formatter: every verb prints the message, and none the value or the stack.
func (e *PanicError) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.Error()) }

// MarshalText implements encoding.TextMarshaler, and so JSON's: it is the message.
func (e *PanicError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// MarshalBinary implements encoding.BinaryMarshaler, and so gob's, likewise.
func (e *PanicError) MarshalBinary() ([]byte, error) { return e.MarshalText() }

// Unwrap returns the value of the panic if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
