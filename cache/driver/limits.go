package driver

import (
	"fmt"
	"time"
)

// Limits are what the Service promises about everything that it hands to a Strategy. A strategy
// finds them with Resolve[driver.Limits] in Init.
type Limits struct {
	// KeyPrefix begins every key and tag. It is the escaped namespace and a ':', which occurs
	// nowhere before, so a strategy can take the namespace off again.
	KeyPrefix string
	// MaxTTL caps every TTL.
	MaxTTL time.Duration
	// MaxKeyBytes limits a key or tag, KeyPrefix not counted.
	MaxKeyBytes Size
	// MaxValueBytes limits a value. The Service adds a header of less than 1 KiB to it.
	MaxValueBytes Size
	// MaxTags limits the tags of one entry.
	MaxTags int
	// Timeout is the deadline of a single operation.
	Timeout time.Duration
}

// Limiter is an optional part of a Strategy that can take other limits after Init, when the
// configuration is loaded again. KeyPrefix never changes. Without Limiter, limits can only be
// lowered while the application runs.
type Limiter interface {
	// CheckLimits reports limits that the strategy cannot take, as an [OptionError] each, joined
	// with errors.Join. It changes nothing.
	CheckLimits(limits Limits) error
	// SetLimits takes limits that CheckLimits has accepted. They hold for what is done from now on.
	SetLimits(limits Limits)
}

// TooShort says what is wrong with a duration between zero and a millisecond, such as a TTL of 300,
// which is 300 nanoseconds. It returns "" for any other duration. It is a Reason of [OptionError].
func TooShort(d time.Duration) string {
	if d <= 0 || d >= time.Millisecond {
		return ""
	}
	return fmt.Sprintf("%v is less than a millisecond; did you mean %d*time.Second?", d, int64(d))
}
