package bigcache

import (
	"errors"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// Options are the keys of the configuration section `cache.bigcache`. The zero value of each field
// means its default.
type Options struct {
	// MaxSize is the memory for entries and their index. When it is full, the oldest entries go.
	// At least 2MiB. Default 64MiB. Measured under tenfold overfill, 0.8 to 1.1 of it is used;
	// entries of less than 50 bytes after values of max_value_bytes reach 1.6, because bigcache's
	// index grows with their number and each shard keeps a buffer of its largest entry.
	MaxSize driver.Size `koanf:"max_size"`
	// Shards is the highest number of parts that lock separately, a power of two. There are fewer
	// where a part would be too small to hold a value of max_value_bytes. Default 256.
	Shards int `koanf:"shards"`
	// MaxInvalidatedTags is how many invalidated tags are remembered one by one, at about 100 bytes
	// each. Beyond it, tagged entries older than the forgotten ones become misses. Default 65536.
	MaxInvalidatedTags int `koanf:"max_invalidated_tags"`
	// LeaseTTL is how long a lease is good that is not extended. While a loader runs its lease is extended, up to
	// driver.MaxLeaseTTL. Default 30s.
	LeaseTTL time.Duration `koanf:"lease_ttl"`
}

// WithDefaults returns o with every zero field replaced by its default.
func (o Options) WithDefaults() Options {
	if o.MaxSize == 0 {
		o.MaxSize = 64 * driver.MiB
	}
	if o.Shards == 0 {
		o.Shards = 256
	}
	if o.MaxInvalidatedTags == 0 {
		o.MaxInvalidatedTags = 1 << 16
	}
	if o.LeaseTTL == 0 {
		o.LeaseTTL = 30 * time.Second
	}
	return o
}

// Validate reports every unusable value as a driver.OptionError, joined.
func (o Options) Validate() error {
	var errs []error
	report := func(name, format string, args ...any) {
		errs = append(errs, &driver.OptionError{Name: name, Reason: fmt.Sprintf(format, args...)})
	}
	if o.MaxSize < 2*driver.MiB {
		report("max_size", "must be at least 2MiB, not %v", o.MaxSize)
	}
	if o.Shards <= 0 || o.Shards > 1<<16 || o.Shards&(o.Shards-1) != 0 {
		report("shards", "must be a power of two between 1 and 65536, not %d", o.Shards)
	}
	if o.MaxInvalidatedTags <= 0 {
		report("max_invalidated_tags", "must be positive, not %d", o.MaxInvalidatedTags)
	}
	if o.LeaseTTL <= 0 {
		report("lease_ttl", "must be positive, not %v", o.LeaseTTL)
	}
	return errors.Join(errs...)
}
