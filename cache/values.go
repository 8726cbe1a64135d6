package cache

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/entry"
	"github.com/fxcache/fxcache/internal/panics"
)

// values turns the values of one cache into entries and back, as its policy says.
type values[T any] struct {
	named  *namedCache
	store  *store
	code   Policy[T] // without the operator's word
	tags   []string  // physical: those that every entry carries
	typ    *entry.Type
	random func() float64 // in [0, 1)
	cached atomic.Pointer[effective[T]]
}

// effective is the policy in force while the operator says options.
type effective[T any] struct {
	options *CacheOptions
	policy  Policy[T]
}

func newValues[T any](named *namedCache, policy Policy[T], tags []string, typ *entry.Type) *values[T] {
	return &values[T]{named: named, store: named.store, code: policy, tags: tags, typ: typ, random: rand.Float64}
}

// policy returns the policy in force. It must not be changed.
func (v *values[T]) policy() *Policy[T] {
	options, known := v.named.options.Load(), v.cached.Load()
	if known == nil || known.options != options {
		known = &effective[T]{options, over(v.code, options)}
		v.cached.Store(known)
	}
	return &known.policy
}

// bound is how long an entry lives at most. What the operator says may have been something else
// when it was stored.
func (v *values[T]) bound() time.Duration {
	if v.named.options.Load().changesTTL() {
		return v.store.options().MaxTTL
	}
	return v.code.longest(v.store.options().MaxTTL)
}

// expected is what is known about an entry before it is read.
func (v *values[T]) expected() expected {
	return expected{tags: v.tags, known: v.code.TagsOf == nil, copies: v.named.options.Load().copies()}
}

// stored is expected for an entry that must be what the storage holds now: a copy in the process
// may be of an entry that is being replaced or revoked.
func (v *values[T]) stored() expected {
	want := v.expected()
	want.copies = driver.CopyOptions{Off: true}
	return want
}

// encode makes the entry of value. took is how long value took to load (0: unknown). The TTL counts
// from the start of source, or from now if that is nil. store is false if the policy forbids
// storing the value.
func (v *values[T]) encode(value T, source *source, took time.Duration) (encoded []byte, opts SetOptions, store bool, err error) {
	opts, store, err = v.policy().setOptions(value)
	if err != nil || !store {
		return nil, opts, store, err
	}
	if opts, err = v.store.limit(opts); err != nil {
		return nil, opts, true, err
	}
	opts.TTL = v.jittered(opts.TTL)
	age := time.Duration(0)
	if source != nil {
		age = source.age()
	}
	var stamp entry.Stamp
	if v.policy().refreshes() {
		// Rounded up to a millisecond, as storages do.
		ms := int64((opts.TTL - age + time.Millisecond - 1) / time.Millisecond)
		stamp = entry.Stamp{Expiry: v.store.options().Clock.Now().UnixMilli() + ms, Took: took}
		opts.TTL = stretch(opts.TTL, v.policy().StaleFor, v.store.options().MaxTTL)
	}
	if source != nil {
		if opts.TTL, err = source.remaining(opts.TTL); err != nil {
			return nil, opts, true, err
		}
	}
	encoded, err = v.typ.Encode(value, stamp)
	return encoded, opts, true, err
}

// encodeAbsent makes the entry that says that the loader found nothing.
func (v *values[T]) encodeAbsent(source *source) (encoded []byte, opts SetOptions, err error) {
	ttl, err := source.remaining(v.jittered(min(v.policy().NegativeTTL, v.store.options().MaxTTL)))
	return v.typ.EncodeAbsent(), SetOptions{TTL: ttl, Tags: v.tags}, err
}

// jittered shortens a TTL.
func (v *values[T]) jittered(ttl time.Duration) time.Duration {
	if v.policy().Jitter == 0 {
		return ttl
	}
	return max(time.Millisecond, ttl-time.Duration(v.policy().Jitter*v.random()*float64(ttl)))
}

func (v *values[T]) decode(encoded []byte) (T, entry.Entry, error) {
	return entry.DecodeAs[T](v.typ, encoded)
}

// verdict says what to do with an entry that was found.
type verdict int

const (
	reload       verdict = iota // it must not be served
	serve                       // it is good
	serveStale                  // it is past its TTL; serve it, and refresh it
	serveNothing                // it says that there is nothing
)

// judge decides about an entry.
func (v *values[T]) judge(value T, e entry.Entry) (verdict, error) {
	if e.Absent {
		if v.policy().NegativeTTL > 0 {
			return serveNothing, nil
		}
		return reload, nil
	}
	if e.Expiry != 0 {
		switch late := v.store.options().Clock.Now().UnixMilli() - e.Expiry; {
		case late >= v.policy().StaleFor.Milliseconds() && late >= 0:
			return reload, nil
		case late >= 0:
			return serveStale, nil
		}
	}
	fresh, err := v.fresh(value)
	if err != nil || !fresh {
		return reload, err
	}
	return serve, nil
}

// counted counts an entry that was found, and reports whether it is a value within its TTL.
func (v *values[T]) counted(e entry.Entry) bool {
	switch {
	case e.Absent && v.policy().NegativeTTL > 0:
		v.store.counters.negativeHits.Add(1)
		return false
	case e.Absent || e.Expired(v.store.options().Clock):
		v.store.counters.misses.Add(1)
		return false
	default:
		v.store.counters.hits.Add(1)
		return true
	}
}

// seen counts an entry that was read to be served or loaded again, and reports whether it should be
// refreshed.
func (v *values[T]) seen(verdict verdict, e entry.Entry) (refresh bool) {
	if verdict == serveStale {
		v.store.counters.hits.Add(1)
		v.store.counters.staleHits.Add(1)
		return true
	}
	v.counted(e)
	return verdict == serve && v.early(e.Stamp)
}

func (v *values[T]) fresh(value T) (fresh bool, err error) {
	if v.policy().Fresh == nil {
		return true, nil
	}
	defer panics.Catch(&err)
	return v.policy().Fresh(value), nil
}

// current reports whether a value that was just stored is still good, so that callers that came
// after the load had begun may have it.
func (v *values[T]) current(value T, absent bool, source *source) bool {
	if source.outlived() {
		return false
	}
	if absent {
		return true
	}
	fresh, err := v.fresh(value)
	return fresh && err == nil
}

// maxSurprise is above -ln of the smallest number that 1-Float64 returns, 2^-53.
const maxSurprise = 37

// early reports whether a hit should start a refresh before the entry's TTL ends: XFetch, as named
// in Policy. Far from the end the answer needs no random number.
func (v *values[T]) early(s entry.Stamp) bool {
	if v.policy().EarlyRefresh == 0 || s.Took == 0 {
		return false
	}
	left := float64(time.UnixMilli(s.Expiry).Sub(v.store.options().Clock.Now()))
	scale := float64(s.Took) * v.policy().EarlyRefresh
	return left < scale*maxSurprise && left <= scale*-math.Log(1-v.random())
}
