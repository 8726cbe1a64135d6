package tiered

import (
	"errors"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/redis"
)

// The values of Options.Coherence.
const (
	// Strict: a revocation returns nil once no node serves a copy of what it has ended.
	Strict = "strict"
	// Eventual: a revocation returns nil once Redis has applied it. Other nodes may serve their
	// copies until they hear of it, for Lag at most.
	Eventual = "eventual"
)

// shortestLag leaves time for three round trips to Redis.
const shortestLag = 5 * time.Millisecond

// Options are the keys of the configuration section `cache.tiered`. The sections `cache.redis` and
// `cache.bigcache` beside it configure the two tiers. A field with its zero value gets its default.
type Options struct {
	// Coherence is Strict or Eventual. Default Strict. All nodes of a namespace should have the
	// same.
	Coherence string `koanf:"coherence,public"`
	// Lag is for how long after it has last heard from Redis a node serves copies. With Strict, it
	// is also for how long a revocation waits, and then the longest one of all nodes of the
	// namespace counts for revocations. At least 5ms, at most redis.MaxLag. Default 25ms.
	Lag time.Duration `koanf:"lag"`
	// L1TTL is how long a copy is served at most, whatever its entry's TTL. Default 1m.
	L1TTL time.Duration `koanf:"l1_ttl"`
}

// WithDefaults returns o with every zero field replaced by its default.
func (o Options) WithDefaults() Options {
	if o.Coherence == "" {
		o.Coherence = Strict
	}
	if o.Lag == 0 {
		o.Lag = 25 * time.Millisecond
	}
	if o.L1TTL == 0 {
		o.L1TTL = time.Minute
	}
	return o
}

// Validate returns a driver.OptionError for every unusable value, joined.
func (o Options) Validate() error {
	var errs []error
	report := func(name, format string, args ...any) {
		errs = append(errs, &driver.OptionError{Name: name, Reason: fmt.Sprintf(format, args...)})
	}
	if o.Coherence != Strict && o.Coherence != Eventual {
		report("coherence", "must be %s or %s", Strict, Eventual)
	}
	if o.Lag < shortestLag || o.Lag > redis.MaxLag {
		report("lag", "must be from %v to %v, not %v: write it with a unit, 25ms for example", shortestLag, redis.MaxLag, o.Lag)
	}
	if reason := driver.TooShort(o.L1TTL); reason != "" {
		report("l1_ttl", "%s", reason)
	} else if o.L1TTL <= 0 {
		report("l1_ttl", "must be positive, not %v; to have no copies, write strategy: redis", o.L1TTL)
	}
	return errors.Join(errs...)
}

// Hint says what to write in place of an unknown key. key is in lower case, without _ and -. It
// returns "" if it knows no advice.
func (Options) Hint(key string) string {
	switch key {
	case "maxsize", "size", "memory", "shards", "capacity", "maxentries":
		return "write it in the section bigcache beside this one: bigcache: {max_size: 64MiB}"
	case "addresses", "url", "mode", "password", "lanes", "tls", "db":
		return "write it in the section redis beside this one"
	case "ttl", "localttl", "nearttl", "expiry", "maxage":
		return "write l1_ttl with a unit: 1m"
	case "consistency", "strict", "strong":
		return "write coherence: strict"
	case "eventual", "weak":
		return "write coherence: eventual"
	}
	return ""
}
