package chain

import (
	"errors"
	"fmt"
)

// ErrNotModified says that what a load would replace is still right.
var ErrNotModified = errors.New("cache: not modified")

// unfoundedError is an ErrNotModified of a load that had nothing to replace.
type unfoundedError struct{ err error }

func (e *unfoundedError) Error() string {
	return fmt.Sprintf("cache: the loader says that nothing was modified, but cache.Previous returned no value to it: %v", e.err)
}

func (e *unfoundedError) Unwrap() error { return e.err }

// Unfounded returns the error of a load that says that nothing was modified, and had nothing to
// replace. err is what the loader returned.
func Unfounded(err error) error { return &unfoundedError{err} }

// SaysNotModified reports whether the error of a loader says that nothing was modified. An error of
// Unfounded does not: it is that of another load within this one.
func SaysNotModified(err error) bool {
	var unfounded *unfoundedError
	return errors.Is(err, ErrNotModified) && !errors.As(err, &unfounded)
}
