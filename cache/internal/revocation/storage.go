package revocation

import (
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// Storage tells which rows of the outbox the storage in use has to forget. A row names its storage
// as "<strategy>/<namespace>/<id>", or as "process" if that storage ends with its process.
type Storage struct {
	place  string        // the name without the id, or "process"
	shared driver.Shared // nil if there is no id
}

const inProcess = "process"

// StorageOf returns the Storage of a strategy with these features, by its name in the configuration
// and the namespace.
func StorageOf(features driver.Features, strategy, keyPrefix string) Storage {
	if features.Local {
		return Storage{place: inProcess}
	}
	return Storage{strategy + "/" + strings.TrimSuffix(keyPrefix, ":"), features.Shared}
}

func (s Storage) id() string {
	if s.shared == nil {
		return ""
	}
	return s.shared.StorageID()
}

// row is how the outbox keeps a revocation. Until is rounded: otherwise a revocation that is added
// again and again would make many rows, if the outbox tells rows apart by it.
func (s Storage) row(r Revocation, until time.Time) Revocation {
	r.Storage = s.place
	if s.place != inProcess {
		r.Storage += "/" + s.id()
	}
	r.Until = until.UTC().Truncate(time.Hour).Add(time.Hour)
	return r
}

// died reports whether what a row concerns has ended with a process.
func (s Storage) died(row Revocation) bool { return row.Storage == inProcess }

// concerns reports whether a row is to be applied here. It is even if the storage has another id
// than it had, because nobody knows how much of its contents was lost with the id.
func (s Storage) concerns(row Revocation) bool {
	if s.place == inProcess {
		return false
	}
	place, _ := cutLast(row.Storage)
	return row.Storage == "" || place == s.place || s.owns(row)
}

// owns reports whether a row may be forgotten once it was applied here. What another storage has to
// forget may come back together with that storage, if both have the same place.
func (s Storage) owns(row Revocation) bool {
	place, id := cutLast(row.Storage)
	switch {
	case row.Storage == "": // of an earlier release
		return s.place != inProcess
	case row.Storage == inProcess:
		return s.place == inProcess
	case id == "": // the storage had not been reached before
		return place == s.place
	}
	return id == s.id() // random, whatever the strategy is called that uses it
}

// own returns those of rows that this storage owns.
func (s Storage) own(rows []Revocation) (own []Revocation) {
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
