// Package failure says what an error of a strategy tells about the storage.
package failure

import (
	"slices"

	"github.com/fxcache/fxcache/cache/driver"
)

// IsRefusal reports whether err says that the call was wrong, and nothing about the storage.
func IsRefusal(err error) bool {
	refusals := []error{
		driver.ErrInvalidKey, driver.ErrInvalidTTL, driver.ErrValueTooLarge, driver.ErrTooManyTags, driver.ErrUnsupported,
	}
	return everyLeaf(err, func(leaf error) bool { return slices.Contains(refusals, leaf) })
}

// IsBadEntry reports whether err concerns the keys of the call, and not the storage.
func IsBadEntry(err error) bool {
	return everyLeaf(err, func(leaf error) bool { return leaf == driver.ErrBadEntry }) //nolint:errorlint // the leaf itself
}

// IsApplied reports whether err says that the operation was applied, and only replicas are behind.
func IsApplied(err error) bool {
	return everyLeaf(err, func(leaf error) bool { return leaf == driver.ErrNotReplicated }) //nolint:errorlint // the leaf itself
}

// everyLeaf reports whether is holds for every error that err wraps in the end. errors.Is would be
// too weak: an error may join those of several parts of the storage, and errors.Is is true if one
// of them matches.
func everyLeaf(err error, is func(leaf error) bool) bool {
	switch wrapper := err.(type) { //nolint:errorlint // walks the tree
	case interface{ Unwrap() error }:
		if inner := wrapper.Unwrap(); inner != nil {
			return everyLeaf(inner, is)
		}
	case interface{ Unwrap() []error }:
		for _, part := range wrapper.Unwrap() {
			if !everyLeaf(part, is) {
				return false
			}
		}
		return len(wrapper.Unwrap()) > 0
	}
	return is(err)
}
