package cache

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Policy says how a [Cache] stores its values. The zero value is usable: default TTL, no tags. The
// functions must be safe for concurrent use and quick; they run on every load, Fresh on every hit.
type Policy[T any] struct {
	// TTL of each entry. Zero means the Service's default_ttl.
	TTL time.Duration
	// Tags that every entry carries.
	Tags []string
	// TagsOf returns further tags, learned from the value.
	TagsOf func(value T) []string
	// TTLOf returns the TTL of one value: zero means TTL; negative means that the value must not be
	// stored, and that an entry which it would have replaced goes.
	TTLOf func(value T) time.Duration
	// Fresh reports whether a stored value may still be served; GetOrLoad loads again when it may
	// not. Get returns such a value all the same.
	Fresh func(value T) bool
	// HashKeys stores SHA-256 digests instead of keys, which may be of any length then. It is for keys
	// that are secrets, such as session tokens: they never leave the process.
	HashKeys bool
}

func (p Policy[T]) validate(name string, limits Options) error {
	var errs []error
	if name == "" || Size(len(escapeName(name))) > limits.MaxKeyBytes/2 {
		errs = append(errs, &OptionError{"name", "must have between 1 byte and half of max_key_bytes"})
	}
	if p.TTL < 0 {
		errs = append(errs, &OptionError{"TTL", "must not be negative"})
	}
	if len(p.Tags) > limits.MaxTags {
		errs = append(errs, &OptionError{"Tags", fmt.Sprintf("must not be more than max_tags (%d)", limits.MaxTags)})
	}
	for _, tag := range p.Tags {
		if tag == "" || Size(len(tag)) > limits.MaxKeyBytes {
			errs = append(errs, &OptionError{"Tags", "must have between 1 and max_key_bytes bytes each"})
		}
	}
	return errors.Join(errs...)
}

// setOptions is what value is stored with. store is false where TTLOf forbids it.
func (p Policy[T]) setOptions(value T) (opts SetOptions, store bool, err error) {
	defer asPanicError(&err)
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

// escapeName makes a cache's name end at the first ':' of a key, so that (name, key) → key of the
// Service is injective.
func escapeName(name string) string {
	return strings.NewReplacer("%", "%25", ":", "%3A").Replace(name)
}
