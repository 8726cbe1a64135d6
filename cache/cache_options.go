package cache

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// CacheOptions are the operator's word for the caches of one name. It wins over the [Policy] in
// code. A nil field leaves what the Policy says. The fields with a koanf tag are the keys of the
// configuration section `cache.caches.<name>`.
type CacheOptions struct {
	// Store is the name of the store that the entries are in. Default "default".
	Store string `koanf:"store,public"`
	// Enabled is false for a cache that is switched off: each read loads, nothing is stored, and
	// what is deleted or invalidated is so in the storage too. Default true.
	Enabled *bool `koanf:"enabled"`
	// TTL stands for Policy.TTL. With Policy.TTLOf, it caps what that returns. At least a
	// millisecond.
	TTL *time.Duration `koanf:"ttl"`
	// StaleFor, Jitter, EarlyRefresh and NegativeTTL stand for the fields of Policy of the same
	// name, and zero switches them off.
	StaleFor     *time.Duration `koanf:"stale_for"`
	Jitter       *float64       `koanf:"jitter"`
	EarlyRefresh *float64       `koanf:"early_refresh"`
	NegativeTTL  *time.Duration `koanf:"negative_ttl"`
	// L1 is false for a cache whose entries are not copied into the process, by a strategy that
	// does so. Default true.
	L1 *bool `koanf:"l1"`
	// L1TTL is how long a copy in the process may be served at most. Nil means as the strategy is
	// configured, and so does more than that. At least a millisecond.
	L1TTL *time.Duration `koanf:"l1_ttl"`

	// Codec encodes the values, in place of Options.Codec. Nil means that.
	Codec Codec `koanf:"-"`
}

// Validate returns one [OptionError] for each unusable value, joined with errors.Join.
func (o CacheOptions) Validate() error {
	var errs []error
	report := func(name, format string, args ...any) {
		errs = append(errs, &OptionError{Name: name, Reason: fmt.Sprintf(format, args...)})
	}
	for _, duration := range []struct {
		name  string
		value *time.Duration
	}{{"ttl", o.TTL}, {"stale_for", o.StaleFor}, {"negative_ttl", o.NegativeTTL}, {"l1_ttl", o.L1TTL}} {
		switch {
		case duration.value == nil:
		case *duration.value < 0:
			report(duration.name, "must not be negative, not %v", *duration.value)
		case driver.TooShort(*duration.value) != "":
			report(duration.name, "%s", driver.TooShort(*duration.value))
		}
	}
	if o.TTL != nil && *o.TTL == 0 {
		report("ttl", "must be positive; to switch the cache off, write enabled: false")
	}
	if o.L1TTL != nil && *o.L1TTL == 0 {
		report("l1_ttl", "must be positive; to have no copies in the process, write l1: false")
	}
	if o.Jitter != nil && !(*o.Jitter >= 0 && *o.Jitter <= 1) {
		report("jitter", "must be between 0 and 1, not %v", *o.Jitter)
	}
	if o.EarlyRefresh != nil && !(*o.EarlyRefresh >= 0 && *o.EarlyRefresh <= maxEarlyRefresh) {
		report("early_refresh", "must be between 0 and %d, not %v", maxEarlyRefresh, *o.EarlyRefresh)
	}
	return errors.Join(errs...)
}

// Validate returns one [OptionError] for each unusable value, joined with errors.Join. Its Name is
// that of the key below `cache`.
func (c Caches) Validate() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c)) {
		errs = append(errs, within("caches."+name, c[name].Validate()))
	}
	return errors.Join(errs...)
}

// within puts a path before the names of the options that joined errors are about.
func within(path string, err error) error {
	if err == nil {
		return nil
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	located := make([]error, len(all))
	for i, err := range all {
		var option *OptionError
		if located[i] = err; errors.As(err, &option) {
			located[i] = &OptionError{Name: path + "." + option.Name, Reason: option.Reason}
		}
	}
	return errors.Join(located...)
}

func (o CacheOptions) unknownStore(name string, stores []*store) error {
	names := make([]string, len(stores))
	for i, s := range stores {
		names[i] = s.name
	}
	slices.Sort(names)
	return &OptionError{Name: "caches." + name + ".store", Reason: "there is no such store; choose one of " + strings.Join(names, ", ")}
}

// over returns the policy with the operator's word in place of the code's.
func over[T any](p Policy[T], o *CacheOptions) Policy[T] {
	replace(&p.StaleFor, o.StaleFor)
	replace(&p.Jitter, o.Jitter)
	replace(&p.EarlyRefresh, o.EarlyRefresh)
	replace(&p.NegativeTTL, o.NegativeTTL)
	if o.TTL == nil {
		return p
	}
	p.TTL = *o.TTL
	if code := p.TTLOf; code != nil {
		p.TTLOf = func(value T) time.Duration { return min(code(value), *o.TTL) }
	}
	return p
}

func replace[V any](field, by *V) {
	if by != nil {
		*field = *by
	}
}

// changesTTL reports whether the operator says how long entries live.
func (o *CacheOptions) changesTTL() bool {
	return o.TTL != nil || o.StaleFor != nil || o.NegativeTTL != nil
}

// accepts reports what the operator may not say about a cache with that policy.
func accepts[T any](o *CacheOptions, name string, p Policy[T]) error {
	if p.Fresh == nil {
		return nil
	}
	return within("caches."+name, o.acceptedWithFresh())
}

// acceptedWithFresh is accepts for a policy with Fresh.
func (o *CacheOptions) acceptedWithFresh() error {
	var errs []error
	const reason = "has no meaning for this cache: its code decides by Policy.Fresh what may be served"
	if o.StaleFor != nil && *o.StaleFor > 0 {
		errs = append(errs, &OptionError{Name: "stale_for", Reason: reason})
	}
	if o.EarlyRefresh != nil && *o.EarlyRefresh > 0 {
		errs = append(errs, &OptionError{Name: "early_refresh", Reason: reason})
	}
	return errors.Join(errs...)
}

// storeName is the name of the store that the entries are in.
func (o CacheOptions) storeName() string { return cmp.Or(o.Store, defaultStore) }

// copies is what the operator says about copies in the process.
func (o *CacheOptions) copies() driver.CopyOptions {
	copies := driver.CopyOptions{Off: o.L1 != nil && !*o.L1}
	if o.L1TTL != nil {
		copies.TTL = *o.L1TTL
	}
	return copies
}
