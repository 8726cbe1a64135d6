package sessioncache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// Options configure [Default]. The zero value of each field means its default. The fields with a
// koanf tag are the keys of the configuration section `session_cache`.
type Options struct {
	// TTL limits how long a session stays in the cache without being stored again. It never stays longer than it
	// is of use: until StaleAfter is over, or the session's own Expires. Default 24h.
	TTL time.Duration `koanf:"ttl"`
	// StaleAfter is how old a cached session may get before the database is asked again, counted
	// from the start of the read that produced it. It bounds what a fault can do: a session that was
	// revoked is served no longer than this. Each reader applies its own: one that was lowered
	// applies to what is cached already. Default 5m.
	StaleAfter time.Duration `koanf:"stale_after"`
	// Prefix is the name of the sessions among all that is cached. Default "session".
	Prefix string `koanf:"prefix,public"`

	// ValidToken reports whether a token looks like one that the application issues. What does not is no
	// session: it is not looked for, not loaded, and never owed, however many of them strangers send.
	// Nil: any token but the empty one may be.
	ValidToken func(token string) bool `koanf:"-"`
	// Tags returns the application's own tags of a session, such as its roles and channels, for
	// InvalidateTags.
	Tags func(*CachedSession) []string `koanf:"-"`
	// Renew prolongs a session in the database and returns it; nil or cache.ErrNotFound where it is
	// no longer there. GetOrLoad calls it, once at a time for each session and process, when less
	// than half of Duration is left, however the session was found. The caller gets the session even
	// if Renew fails, unless it is gone.
	Renew func(ctx context.Context, session *CachedSession) (*CachedSession, error) `koanf:"-"`
	// Duration is for how long Renew prolongs a session. Required with Renew.
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

// Validate reports every unusable value as a cache.OptionError, joined.
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
	if o.Prefix == "" || len(o.Prefix) > 128 {
		report("prefix", "must have between 1 and 128 bytes")
	}
	if o.Renew != nil && o.Duration <= 0 {
		report("Duration", "must be positive where Renew is set, not %v", o.Duration)
	}
	return errors.Join(errs...)
}
