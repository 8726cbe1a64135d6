package cache

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/panics"
)

// Policy says how a [Cache] stores its values. The zero value is usable: entries have the default
// TTL and no tags. The functions must be quick and safe for concurrent use. They run on every load
// and write, and Fresh runs on every hit of GetOrLoad. New copies the policy.
type Policy[T any] struct {
	// TTL is how long an entry may be served. It counts from the start of the load or write that
	// the value comes from. Zero means the Service's default_ttl. No duration of a Policy may be
	// between zero and a millisecond.
	TTL time.Duration
	// Jitter is a fraction from 0 to 1. The TTL of each entry is shortened by a random part of up
	// to this fraction, so that entries that were stored together do not expire together. For
	// example, 0.1 makes an hour 54 to 60 minutes. It never makes a TTL longer.
	Jitter float64
	// StaleFor is how long an entry is kept after its TTL has ended. TTL and StaleFor together
	// never exceed max_ttl. Past its TTL an entry is a miss for Get. GetOrLoad serves it at once,
	// and runs its load in the background, in one process only. That load goes on after GetOrLoad
	// has returned, so it must not use anything that belongs to the request.
	//
	// If the load fails, the last good value is served until StaleFor ends. ErrNotFound is not a
	// failure: it ends the entry. An entry that was deleted or invalidated is never served.
	// StaleFor cannot be combined with Fresh.
	StaleFor time.Duration
	// StaleAfter is how long GetOrLoad waits for the fresh value of an entry past its TTL. If the
	// load takes longer or fails, GetOrLoad serves the last good value, as StaleFor says, and the
	// load goes on in the background. If no load can be started, for example in the second after
	// one failed, it does not wait. Zero means that it never waits. StaleAfter needs StaleFor.
	StaleAfter time.Duration
	// EarlyRefresh has some hits start a load in the background shortly before the TTL ends. A hit
	// is more likely to do so the nearer the end is, and the longer the last load took. 0 means
	// never, 1 is what the paper recommends, and a larger number starts earlier, up to 100. This is
	// XFetch: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention",
	// VLDB 2015. An entry that was stored by Set or Update is not refreshed early, because it is
	// not known how long its load takes. EarlyRefresh cannot be combined with Fresh.
	EarlyRefresh float64
	// NegativeTTL is how long GetOrLoad remembers that load returned ErrNotFound, counted from the
	// start of that load. Until then it returns ErrNotFound without loading. That answer is stored
	// like a value, under a lease and with Tags. Whatever ends or replaces an entry ends it too. So
	// code that creates the row must call Update, Set or Delete for the key after the commit. Zero
	// means that ErrNotFound is not remembered.
	NegativeTTL time.Duration
	// Tags are carried by every entry.
	Tags []string
	// TagsOf returns further tags, which depend on the value. Nil means that there are none.
	TagsOf func(value T) []string
	// TTLOf returns the TTL of one value, in place of TTL. It counts from the same moment. Zero or
	// less means that the value is not kept: its callers get it, nothing is stored, and the entry
	// that it would have replaced is deleted. So a TTL that is computed from the end of something
	// may be zero. Nil means TTL.
	TTLOf func(value T) time.Duration
	// Fresh reports whether a stored value may still be served. If it may not, GetOrLoad loads it
	// again. Get ignores Fresh. Nil means that every value within its TTL may be served.
	Fresh func(value T) bool
	// Version names the form of the stored values. If it is empty, the form follows from T. An
	// entry is a miss if it was stored for another type, for a struct whose fields have changed
	// since, or without one of Tags. It stays until it is replaced. So two releases can share a
	// storage.
	//
	// Some changes do not show in the type, such as a price in cents that becomes one in mills.
	// They need another Version. If Version is set, T does not count: a change of T must change
	// Version too.
	Version string
	// DropsFields says that T may have fields that the codec does not store, such as unexported
	// ones, or those with the tag `json:"-"`. The caller whose load has just run gets them, and
	// everybody else gets their zero values. Without DropsFields, [New] refuses such a T, and names
	// them.
	DropsFields bool
	// HashKeys stores SHA-256 digests instead of keys. It is for keys that are secrets, such as
	// session tokens, which then never leave the process. Keys may then have any length.
	HashKeys bool
	// Reserved is for caches that every request needs, such as sessions. Their loads do not share
	// max_concurrent_loads with the other caches. They have the same number of places of their own,
	// so slow loads of something else do not hold them up. Both limits apply while the storage
	// fails, and in the background.
	Reserved bool
}

// maxEarlyRefresh limits Policy.EarlyRefresh. With more, nearly every hit would refresh.
const maxEarlyRefresh = 100

func (p Policy[T]) validate(name string, limits Options) error {
	var errs []error
	if name == "" || driver.Size(len(escapeName(name))) > limits.MaxKeyBytes/2 {
		errs = append(errs, &OptionError{Name: "name", Reason: "must have between 1 byte and half of max_key_bytes"})
	}
	for _, duration := range []struct {
		name  string
		value time.Duration
	}{{"TTL", p.TTL}, {"StaleFor", p.StaleFor}, {"StaleAfter", p.StaleAfter}, {"NegativeTTL", p.NegativeTTL}} {
		if duration.value < 0 {
			errs = append(errs, &OptionError{Name: duration.name, Reason: "must not be negative"})
		} else if reason := driver.TooShort(duration.value); reason != "" {
			errs = append(errs, &OptionError{Name: duration.name, Reason: reason})
		}
	}
	if len(p.Tags) > limits.MaxTags {
		errs = append(errs, &OptionError{Name: "Tags", Reason: fmt.Sprintf("must not be more than max_tags (%d)", limits.MaxTags)})
	}
	if !(p.Jitter >= 0 && p.Jitter <= 1) { // nor NaN
		errs = append(errs, &OptionError{Name: "Jitter", Reason: "must be between 0 and 1"})
	}
	if !(p.EarlyRefresh >= 0 && p.EarlyRefresh <= maxEarlyRefresh) {
		errs = append(errs, &OptionError{Name: "EarlyRefresh", Reason: fmt.Sprintf("must be between 0 and %d", maxEarlyRefresh)})
	}
	if p.StaleAfter > 0 && p.StaleFor == 0 {
		errs = append(errs, &OptionError{Name: "StaleAfter", Reason: "needs StaleFor: set that to how long the last good value is kept after its TTL"})
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

// setOptions returns the options that value is stored with. store is false if TTLOf forbids it.
func (p Policy[T]) setOptions(value T) (opts SetOptions, store bool, err error) {
	defer panics.Catch(&err)
	opts = SetOptions{TTL: p.TTL, Tags: p.Tags}
	if p.TTLOf != nil {
		if opts.TTL = p.TTLOf(value); opts.TTL <= 0 {
			return opts, false, nil
		}
	}
	if p.TagsOf != nil {
		if learned := p.TagsOf(value); len(learned) > 0 {
			opts.Tags = append(append([]string(nil), p.Tags...), learned...)
		}
	}
	return opts, true, nil
}

// refreshes reports whether entries need a stamp.
func (p Policy[T]) refreshes() bool { return p.StaleFor > 0 || p.EarlyRefresh > 0 }

// longest returns how long an entry can live in the storage at most.
func (p Policy[T]) longest(limit time.Duration) time.Duration {
	if p.TTL == 0 || p.TTLOf != nil {
		return limit
	}
	return min(limit, max(stretch(p.TTL, p.StaleFor, limit), p.NegativeTTL))
}

// stretch returns ttl+by, but at most limit. It does not overflow, and ttl may exceed limit.
func stretch(ttl, by, limit time.Duration) time.Duration {
	return limit - max(0, limit-min(ttl, limit)-by)
}

// escapeName escapes a cache's name, so that it ends at the first ':' of a key. So two different
// pairs of cache name and key never get the same physical key.
func escapeName(name string) string {
	return strings.NewReplacer("%", "%25", ":", "%3A").Replace(name)
}
