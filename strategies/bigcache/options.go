package bigcache

import (
	"errors"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// Options are the keys of the configuration section `cache.bigcache`. A field with its zero value
// gets its default.
type Options struct {
	// MaxSize is the memory for entries and their index. It must be at least 2MiB. Default 64MiB.
	// While less than half of it is alive, nothing that is alive is lost, however often other
	// entries are written. If more is, the oldest entries go. Measured under tenfold overfill, 0.8
	// to 1.1 of it is used. Entries of less than 50 bytes reach 1.6, because bigcache's index grows
	// with the number of entries.
	MaxSize driver.Size `koanf:"max_size"`
	// Shards is the highest number of parts that lock separately, a power of two. There are fewer
	// if a part would be smaller than 256KiB, or if max_size is less than about five times
	// max_value_bytes. Default 256.
	Shards int `koanf:"shards"`
	// MaxInvalidatedTags is how many invalidated tags are remembered one by one, at about 100 bytes
	// each. If there are more, tagged entries that are older than the forgotten tags become misses.
	// Default 65536.
	MaxInvalidatedTags int `koanf:"max_invalidated_tags"`
	// LeaseTTL is how long a lease lives if it is not extended. While a loader runs, its lease is
	// extended, up to driver.MaxLeaseTTL. Default 30s.
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

// Validate returns a driver.OptionError for every unusable value, joined.
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
	} else if reason := driver.TooShort(o.LeaseTTL); reason != "" {
		report("lease_ttl", "%s", reason)
	}
	return errors.Join(errs...)
}

// Hint says what to write in place of an unknown key: how other systems call the keys of this
// section. key is in lower case, without _ and -. It returns "" if it knows no advice.
func (Options) Hint(key string) string {
	switch key {
	case "size", "memory", "maxmemory", "capacity", "limit", "maxbytes", "maxcachesize", "hardmaxcachesize", "maxentries", "maxitems", "maxsizemb",
		"maxentriesinwindow", "cachesize", "sizemb", "memorylimit":
		return "write max_size with a unit: 64MiB"
	case "ttl", "ttlseconds", "lifewindow", "eviction", "expiration", "expiry", "defaultexpiration", "cleanwindow", "cleanupinterval", "maxage":
		return "write cache.default_ttl with a unit: 300s"
	case "shardcount", "numshards", "buckets":
		return "write shards"
	case "maxentrysize", "maxvaluesize", "maxitemsize":
		return "write cache.max_value_bytes"
	}
	return ""
}
