package failure_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/failure"
)

// TestLeaves joins errors: one of another kind says something about the storage, whatever the rest
// are.
func TestLeaves(t *testing.T) {
	t.Parallel()
	down := errors.New("the storage is down")
	wrap := func(err error) error { return fmt.Errorf("shard 1: %w", err) }
	for _, test := range []struct {
		name                        string
		err                         error
		refusal, badEntry, replicas bool
	}{
		{"nil", nil, false, false, false},
		{"down", down, false, false, false},
		{"refusal", driver.ErrInvalidKey, true, false, false},
		{"wrapped refusal", wrap(driver.ErrTooManyTags), true, false, false},
		{"two refusals", errors.Join(driver.ErrInvalidKey, wrap(driver.ErrUnsupported)), true, false, false},
		{"refusal and down", errors.Join(driver.ErrInvalidKey, down), false, false, false},
		{"down and refusal", wrap(errors.Join(down, driver.ErrInvalidKey)), false, false, false},
		{"bad entry", wrap(driver.ErrBadEntry), false, true, false},
		{"bad entries", errors.Join(driver.ErrBadEntry, driver.ErrBadEntry), false, true, false},
		{"bad entry and down", errors.Join(driver.ErrBadEntry, wrap(down)), false, false, false},
		{"bad entry and refusal", errors.Join(driver.ErrBadEntry, driver.ErrInvalidTTL), false, false, false},
		{"replicas behind", wrap(driver.ErrNotReplicated), false, false, true},
		{"replicas behind and down", fmt.Errorf("%w, %w", driver.ErrNotReplicated, down), false, false, false},
		{"deep", errors.Join(wrap(errors.Join(driver.ErrNotReplicated, wrap(driver.ErrNotReplicated)))), false, false, true},
		{"deep and down", errors.Join(wrap(errors.Join(driver.ErrNotReplicated, wrap(down)))), false, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, check := range []struct {
				name string
				is   func(error) bool
				want bool
			}{
				{"IsRefusal", failure.IsRefusal, test.refusal},
				{"IsBadEntry", failure.IsBadEntry, test.badEntry},
				{"IsApplied", failure.IsApplied, test.replicas},
			} {
				if got := check.is(test.err); got != check.want {
					t.Errorf("%s(%v) = %v, want %v", check.name, test.err, got, check.want)
				}
			}
		})
	}
}
