package fxcache

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// longestTimeout bounds cache.timeout: every request waits for it while a storage hangs.
const longestTimeout = time.Minute

// cacheSection is the section `cache` without the sections of the strategies and of further stores.
type cacheSection struct {
	storeSection `koanf:",squash"`

	Codec  string                   `koanf:"codec,public"`
	Caches map[string]cachesSection `koanf:"caches"`

	stores []string
	codecs codecs
}

// cachesSection is one section of `cache.caches`.
type cachesSection struct {
	cache.CacheOptions `koanf:",squash"`

	Codec string `koanf:"codec,public"`
}

// Validate reports every unusable value.
func (s cacheSection) Validate() error {
	errs := []error{s.storeSection.Validate(), s.codecs.check("codec", s.Codec), s.caches().Validate()}
	for _, name := range slices.Sorted(maps.Keys(s.Caches)) {
		one, path := s.Caches[name], "caches."+name+"."
		if one.Codec != "" {
			errs = append(errs, s.codecs.check(path+"codec", one.Codec))
		}
		errs = append(errs, checkStore(path+"store", one.Store, s.stores))
	}
	return errors.Join(errs...)
}

// caches returns what NewService takes, but without the codecs.
func (s cacheSection) caches() cache.Caches {
	caches := make(cache.Caches, len(s.Caches))
	for name, one := range s.Caches {
		caches[name] = one.CacheOptions
	}
	return caches
}

// checkStore reports a store that there is not. An empty name is the one named "default".
func checkStore(key, name string, stores []string) error {
	if name == "" || slices.Contains(stores, name) {
		return nil
	}
	return &cache.OptionError{Name: key, Reason: "there is no such store; choose one of " + strings.Join(stores, ", ") + ", or add it to cache.stores"}
}

// storeSection is one section of `cache.stores`, without the section of its strategy. The section
// `cache` has the same keys, for the store named "default".
type storeSection struct {
	Strategy      string `koanf:"strategy,public"`
	cache.Options `koanf:",squash"`

	known, unselected []string
	path              string
	inherited         bool // DefaultTTL is that of the section `cache`
}

// Complete fills in the default that depends on another key.
func (s *storeSection) Complete() {
	if s.inherited {
		s.DefaultTTL = min(s.DefaultTTL, s.MaxTTL)
	}
	if s.DefaultTTL == 0 {
		s.DefaultTTL = s.MaxTTL
	}
}

// Validate reports every unusable value.
func (s storeSection) Validate() error {
	errs := []error{s.Options.Validate(), checkSelected(s.Strategy, s.known, s.unselected)}
	if s.Timeout > longestTimeout {
		errs = append(errs, &cache.OptionError{Name: "timeout",
			Reason: fmt.Sprintf("must be at most %v, not %v: every request waits for it while the storage hangs", longestTimeout, s.Timeout)})
	}
	return errors.Join(errs...)
}

// options returns what NewService takes. There, a LockWait of 0 means the default.
func (s storeSection) options() cache.Options {
	if s.LockWait == 0 {
		s.LockWait = cache.NoLockWait
	}
	return s.Options
}

// hints says what to write in place of what other systems call a key of `cache`, and sessionHints
// of `session_cache`. The keys are in lower case, without _ and -.
var (
	hints = advice(map[string]string{
		"write strategy": "type kind driver backend provider adapter store engine implementation cachetype cachestore cachebackend storage",
		"write default_ttl with a unit: 300s": "ttl ttlseconds ttlms ttlsec expiry expires expiration expire expiresin maxage lifetime timetolive defaultexpiration " +
			"defaultttlseconds defaultexpiry cachettl defaulttimeout itemttl",
		"write namespace": "prefix keyprefix app appname application keyspace cacheprefix globalprefix name",
		"write codec":     "serializer serialiser encoding encoder format marshaller",
		"write strategy: noop to switch the cache off":   "enabled enable disabled disable active off",
		"write bigcache: {max_size: 64MiB}":              "maxsize size maxmemory memory memorylimit capacity maxcachesize hardmaxcachesize maxentries maxitems maxsizemb limit",
		"write max_value_bytes":                          "maxvaluesize maxitemsize maxentrysize",
		"write max_key_bytes":                            "maxkeysize maxkeylength",
		"write timeout with a unit: 50ms":                "timeoutms timeoutseconds operationtimeout requesttimeout readtimeout writetimeout commandtimeout",
		"write lock_wait with a unit: 2s":                "locktimeout lockttl lockwaitms",
		"write bigcache: or redis: with the keys within": "options config settings params opts",
	})
	sessionHints = advice(map[string]string{
		"write strategy": "type kind driver backend provider adapter store engine storage",
		"write ttl, or stale_after, with a unit: 300s": "ttlseconds ttlms expiry expires expiration expire maxage lifetime timetolive timeout sessiontimeout duration " +
			"idletimeout inactivity sessionttl maxlifetime cookiemaxage",
		"write prefix": "keyprefix namespace name sessionprefix",
		"write strategy: noop to read the database for every request": "enabled enable disabled disable",
	})
)

func advice(keys map[string]string) map[string]string {
	byKey := map[string]string{}
	for text, others := range keys {
		for key := range strings.FieldsSeq(others) {
			byKey[key] = text
		}
	}
	return byKey
}

// Hint says what to write in place of an unknown key.
func (s storeSection) Hint(key string) string {
	if redisHints[key] != "" {
		return "if it is about Redis, write it in the section redis of the store, with strategy: redis beside that section"
	}
	return hints[key]
}

// Hint says what to write in place of an unknown key.
func (s cacheSection) Hint(key string) string {
	return cmp.Or(hints[key], redisHints[key])
}

// redisHints are for the keys of a Redis that are written a level too high.
var redisHints = advice(map[string]string{
	"if it is about Redis, write it in cache.redis, with strategy: redis in cache": "host hosts hostname port address addresses addr addrs server servers nodes " +
		"endpoint endpoints url uri urlfile dsn redisurl connectionstring username user password passwordfile pass auth db database dbindex tls ssl usessl usetls " +
		"mode cluster sentinel sentinels sentinelmaster mastername clientname poolsize lanes connections dialtimeout waitreplicas",
})

// sessionSection is the section `session_cache` without the sections of the strategies.
type sessionSection struct {
	Strategy             string `koanf:"strategy,public"`
	Store                string `koanf:"store,public"`
	sessioncache.Options `koanf:",squash"`

	// L1 and L1TTL are those of cache.CacheOptions.
	L1    *bool          `koanf:"l1"`
	L1TTL *time.Duration `koanf:"l1_ttl"`

	known, unselected, stores []string
}

// Validate reports every unusable value.
func (s sessionSection) Validate() error {
	copies := cache.CacheOptions{L1: s.L1, L1TTL: s.L1TTL}
	return errors.Join(s.Options.Validate(), checkSelected(s.Strategy, s.known, s.unselected), checkStore("store", s.Store, s.stores), copies.Validate())
}

// Hint says what to write in place of an unknown key.
func (s sessionSection) Hint(key string) string {
	return cmp.Or(sessionHints[key], redisHints[key])
}

// checkSelected reports a strategy that is not known, and the sections of others if none is
// selected.
func checkSelected(name string, known, unselected []string) error {
	var errs []error
	for _, other := range unselected {
		errs = append(errs, &cache.OptionError{Name: other, Reason: fmt.Sprintf(
			"is not used, because %[1]s is the default: write strategy: %[2]s beside it (or strategy: %[1]s, if the section is only kept)", name, other)})
	}
	switch {
	case slices.Contains(known, name):
	case slices.Contains(known, strings.ToLower(strings.TrimSpace(name))):
		errs = append(errs, &cache.OptionError{Name: "strategy", Reason: "must be in lower case and without blanks: one of " + strings.Join(known, ", ")})
	default:
		errs = append(errs, &cache.OptionError{Name: "strategy", Reason: "there is no such strategy; choose one of " + strings.Join(known, ", ")})
	}
	return errors.Join(errs...)
}
