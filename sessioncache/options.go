package sessioncache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// Options configure [Default]. The zero value of each field means its default. No duration may be
// between zero and a millisecond. The fields with a
// koanf tag are the keys of the configuration section `session_cache`.
type Options struct {
	// TTL limits how long a session stays in the cache without being stored again. A session also
	// leaves the cache after StaleAfter, or at its own Expires. Default 24h.
	TTL time.Duration `koanf:"ttl"`
	// StaleAfter is the maximum age of a cached session before the database is read again. The age
	// counts from the start of the read that produced the session. StaleAfter therefore limits the
	// effect of a fault: a revoked session is served no longer than this. Each reader applies its
	// own value, so a lower value also applies to sessions that are already cached. Default 5m.
	StaleAfter time.Duration `koanf:"stale_after"`
	// Prefix is the name of the sessions among all cached data. Default "session".
	Prefix string `koanf:"prefix,public"`

	// ValidToken reports whether a token has the form of the tokens that the application issues.
	// Any other token is not looked up, not loaded, and never becomes a pending revocation, however
	// many of them strangers send. Nil means that every token is valid except the empty one.
	ValidToken func(token string) bool `koanf:"-"`
	// Tags returns the application's own tags of a session, such as its roles and channels, for
	// InvalidateTags. A tag that is empty or longer than max_key_bytes is left out, and logged. A
	// session with more than max_tags different ones, two of which are the cache's own, is not
	// cached.
	Tags func(*CachedSession) []string `koanf:"-"`
	// Renew prolongs a session in the database and returns it. It returns nil or cache.ErrNotFound
	// if the session is no longer there. GetOrLoad calls it when less than half of Duration is
	// left, whether the session came from the cache or the database. In one process, only one Renew
	// of a session runs at a time. If Renew fails, the caller still gets the session, unless it is
	// gone. A Renew that fails, or that leaves less than half of Duration, is not called again for
	// the session within StaleAfter. It must not change the token: the client would not learn it.
	Renew func(ctx context.Context, session *CachedSession) (*CachedSession, error) `koanf:"-"`
	// Duration is how long Renew prolongs a session. Required with Renew. If it is several times
	// StaleAfter, a Renew that fails is tried several times before the session ends.
	Duration time.Duration `koanf:"-"`
}

// WithDefaults returns o with every zero field replaced by its default.
func (o Options) WithDefaults() Options {
	if o.TTL == 0 {
		o.TTL = 24 * time.Hour
	}
	if o.StaleAfter == 0 {
		o.StaleAfter = 5 * time.Minute
	}
	if o.Prefix == "" {
		o.Prefix = "session"
	}
	return o
}

// Validate reports every invalid value as a cache.OptionError, joined.
func (o Options) Validate() error {
	var errs []error
	report := func(name, format string, args ...any) {
		errs = append(errs, &cache.OptionError{Name: name, Reason: fmt.Sprintf(format, args...)})
	}
	if o.TTL <= 0 {
		report("ttl", "must be positive, not %v", o.TTL)
	}
	if o.StaleAfter <= 0 {
		report("stale_after", "must be positive, not %v", o.StaleAfter)
	}
	for _, duration := range []struct {
		name  string
		value time.Duration
	}{{"ttl", o.TTL}, {"stale_after", o.StaleAfter}, {"Duration", o.Duration}} {
		if reason := driver.TooShort(duration.value); reason != "" {
			report(duration.name, "%s", reason)
		}
	}
	if o.Prefix == "" || len(o.Prefix) > 128 {
		report("prefix", "must have between 1 and 128 bytes")
	}
	if o.Renew != nil && o.Duration <= 0 {
		report("Duration", "must be positive where Renew is set, not %v", o.Duration)
	}
	return errors.Join(errs...)
}
