package cache

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/panics"
)

// Policy says how a [Cache] stores its values. The zero value is usable: default TTL, no tags. The
// functions must be safe for concurrent use and quick; they run on every load, Fresh on every hit.
type Policy[T any] struct {
	// TTL of each entry, counted from the start of the load or write that its value comes from.
	// Zero means the Service's default_ttl.
	TTL time.Duration
	// Jitter shortens the TTL of each entry by a random part of up to this fraction, 0 to 1, so
	// that entries which were stored together do not end together. It never prolongs one.
	Jitter float64
	// StaleFor keeps entries for that much longer than their TTL, but never beyond max_ttl in all.
	// Past its TTL an entry is a miss for Get, while GetOrLoad serves it at once, and its load runs
	// in the background, once in the fleet, after GetOrLoad has returned: it must not use what
	// belongs to the request. When that load fails, the last good value goes on being served until
	// StaleFor ends; ErrNotFound is no failure, and ends the entry. An entry that was deleted or
	// invalidated is never served. Not together with Fresh.
	StaleFor time.Duration
	// EarlyRefresh starts such a load in the background for some hits shortly before the TTL ends,
	// the likelier the nearer the end is and the longer the load took that made the entry. 0 is
	// off, 1 is what the paper recommends, more is earlier. This is XFetch: Vattani, Chierichetti,
	// Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015. An entry that was
	// stored by Set or Update is not refreshed early, because nobody knows how long its load takes.
	// Not together with Fresh.
	EarlyRefresh float64
	// NegativeTTL is for how long from its start GetOrLoad remembers that load returned
	// ErrNotFound; it returns that without loading then. It is stored under the same lease as a
	// value, with Tags, and ended by whatever ends or replaces an entry: who creates the row must
	// Update, Set or Delete the key after the commit. Zero means that it is not remembered.
	NegativeTTL time.Duration
	// Tags that every entry carries.
	Tags []string
	// TagsOf returns further tags, learned from the value.
	TagsOf func(value T) []string
	// TTLOf returns the TTL of one value, counted as TTL: zero means TTL; negative means that the
	// value must not be stored, and that an entry which it would have replaced goes.
	TTLOf func(value T) time.Duration
	// Fresh reports whether a stored value may still be served; GetOrLoad loads again when it may
	// not. Get returns such a value all the same.
	Fresh func(value T) bool
	// Version names the form of the values. Where it is empty, the type stands for it: an entry
	// that was stored for another one, or for a struct whose fields have changed since, or without
	// one of Tags, is a miss, and stays until it is replaced. So two releases can share a storage.
	// What the type does not show, such as another unit of the same number, needs another Version.
	// Where Version is set, the type does not count: whoever changes it must change Version too.
	Version string
	// HashKeys stores SHA-256 digests instead of keys, which may be of any length then. It is for
	// keys that are secrets, such as session tokens: they never leave the process.
	HashKeys bool
	// Reserved gives the loads of this cache places of their own, max_concurrent_loads of them,
	// while the storage fails and in the background, which the loads of other caches cannot take.
	// It is for what every request needs, such as sessions: slow loads of something else do not
	// hold it up.
	Reserved bool
}

// maxEarlyRefresh is far beyond anything sensible: each hit would refresh.
const maxEarlyRefresh = 100

func (p Policy[T]) validate(name string, limits Options) error {
	var errs []error
	if name == "" || driver.Size(len(escapeName(name))) > limits.MaxKeyBytes/2 {
		errs = append(errs, &OptionError{Name: "name", Reason: "must have between 1 byte and half of max_key_bytes"})
	}
	if p.TTL < 0 {
		errs = append(errs, &OptionError{Name: "TTL", Reason: "must not be negative"})
	}
	if len(p.Tags) > limits.MaxTags {
		errs = append(errs, &OptionError{Name: "Tags", Reason: fmt.Sprintf("must not be more than max_tags (%d)", limits.MaxTags)})
	}
	if p.StaleFor < 0 {
		errs = append(errs, &OptionError{Name: "StaleFor", Reason: "must not be negative"})
	}
	if p.NegativeTTL < 0 {
		errs = append(errs, &OptionError{Name: "NegativeTTL", Reason: "must not be negative"})
	}
	if !(p.Jitter >= 0 && p.Jitter <= 1) { // nor NaN
		errs = append(errs, &OptionError{Name: "Jitter", Reason: "must be between 0 and 1"})
	}
	if !(p.EarlyRefresh >= 0 && p.EarlyRefresh <= maxEarlyRefresh) {
		errs = append(errs, &OptionError{Name: "EarlyRefresh", Reason: fmt.Sprintf("must be between 0 and %d", maxEarlyRefresh)})
	}
	if p.Fresh != nil && p.StaleFor > 0 {
		errs = append(errs, &OptionError{Name: "StaleFor", Reason: "must not be used together with Fresh, which says what may be served"})
	}
	if p.Fresh != nil && p.EarlyRefresh > 0 {
		errs = append(errs, &OptionError{Name: "EarlyRefresh", Reason: "must not be used together with Fresh, whose expiry it cannot know"})
	}
	for _, tag := range p.Tags {
		if tag == "" || driver.Size(len(tag)) > limits.MaxKeyBytes {
			errs = append(errs, &OptionError{Name: "Tags", Reason: "must have between 1 and max_key_bytes bytes each"})
		}
	}
	return errors.Join(errs...)
}

// setOptions is what value is stored with. store is false where TTLOf forbids it.
func (p Policy[T]) setOptions(value T) (opts SetOptions, store bool, err error) {
	defer panics.Catch(&err)
	opts = SetOptions{TTL: p.TTL, Tags: p.Tags}
	if p.TTLOf != nil {
		if ttl := p.TTLOf(value); ttl != 0 {
			opts.TTL = ttl
		}
	}
	if p.TagsOf != nil {
		if learned := p.TagsOf(value); len(learned) > 0 {
			opts.Tags = append(append([]string(nil), p.Tags...), learned...)
		}
	}
	return opts, opts.TTL >= 0, nil
}

// refreshes reports whether entries need a stamp.
func (p Policy[T]) refreshes() bool { return p.StaleFor > 0 || p.EarlyRefresh > 0 }

// longest returns how long an entry can live in the storage at the most.
func (p Policy[T]) longest(limit time.Duration) time.Duration {
	if p.TTL == 0 || p.TTLOf != nil {
		return limit
	}
	return min(limit, max(stretch(p.TTL, p.StaleFor, limit), p.NegativeTTL))
}

// stretch is ttl+by, but no more than limit, which ttl may exceed.
func stretch(ttl, by, limit time.Duration) time.Duration {
	return limit - max(0, limit-min(ttl, limit)-by)
}

// escapeName makes a cache's name end at the first ':' of a key, so that (name, key) → key of the
// Service is injective.
func escapeName(name string) string {
	return strings.NewReplacer("%", "%25", ":", "%3A").Replace(name)
}
