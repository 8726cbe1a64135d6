package cache

import (
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// Revocation is one thing that must not be served any more.
type Revocation struct {
	// Key is a key that was deleted, as the Strategy knows it but without the namespace: for caches with
	// Policy.HashKeys a digest. It may hold any bytes.
	Key string
	// Tag is a tag that was invalidated. Where Key and Tag are empty, everything was revoked.
	Tag string
	// Storage is the one that has to forget it, in words that only the cache understands. Empty in rows of
	// earlier releases.
	Storage string
	// Until is when nothing is left that it concerns, to the hour, in UTC; the cache has the row removed then. Zero
	// in rows of earlier releases.
	Until time.Time
}

// target is what is revoked, wherever and for how long.
func (r Revocation) target() Revocation { return Revocation{Key: r.Key, Tag: r.Tag} }

// storage knows which of the outbox's rows this Service's storage has to forget. It is in each row as
// "<strategy>/<namespace>/<id>", or as "process" where it ends with its process.
type storage struct {
	place  string        // all but the id, or "process"
	shared driver.Shared // nil where there is no id
}

const ofProcess = "process"

func storageOf(features driver.Features, options Options) storage {
	if features.Local {
		return storage{place: ofProcess}
	}
	return storage{options.StrategyName + "/" + strings.TrimSuffix(options.KeyPrefix(), ":"), features.Shared}
}

func (s storage) id() string {
	if s.shared == nil {
		return ""
	}
	return s.shared.StorageID()
}

// row is how the outbox keeps a revocation. Until is rounded, so that one that is owed again and again makes
// few rows where the outbox tells them apart by it.
func (s storage) row(r Revocation, until time.Time) Revocation {
	r.Storage = s.place
	if s.place != ofProcess {
		r.Storage += "/" + s.id()
	}
	r.Until = until.UTC().Truncate(time.Hour).Add(time.Hour)
	return r
}

// died reports whether what row concerns has ended with a process.
func (s storage) died(row Revocation) bool { return row.Storage == ofProcess }

// concerns reports whether row is to be applied here: also where the storage has another id than it had, because
// nobody knows how much of its contents was lost with that.
func (s storage) concerns(row Revocation) bool {
	if s.place == ofProcess {
		return false
	}
	place, _ := cutLast(row.Storage)
	return row.Storage == "" || place == s.place || s.owns(row)
}

// owns reports whether row may be forgotten once it was applied here. What another storage has to forget may come
// back with it, if it has the same place.
func (s storage) owns(row Revocation) bool {
	place, id := cutLast(row.Storage)
	switch {
	case row.Storage == "": // of an earlier release
		return s.place != ofProcess
	case row.Storage == ofProcess:
		return s.place == ofProcess
	case id == "": // Redis was not reached before it was owed
		return place == s.place
	}
	return id == s.id() // random, whatever the strategy is called that uses it
}

// own returns those of rows.
func (s storage) own(rows []Revocation) (own []Revocation) {
	for _, row := range rows {
		if s.owns(row) {
			own = append(own, row)
		}
	}
	return own
}

func cutLast(name string) (place, id string) {
	i := strings.LastIndex(name, "/")
	if i < 0 {
		return name, ""
	}
	return name[:i], name[i+1:]
}
