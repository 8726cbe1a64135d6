package revocation

import (
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// Storage says which rows of the outbox are for the storage in use. A row names its storage as
// "<strategy>/<namespace>/<id>", after "<store>@" unless the store is the default one, or as
// "process" if that storage ends with its process.
type Storage struct {
	place  string        // the name without the id, or "process"
	main   bool          // rows without a storage are for this one
	shared driver.Shared // nil: the storage has no id
}

const inProcess = "process"

// StorageOf returns the Storage of a strategy with these features, by its name in the configuration
// and the namespace. store is the name of its store, and empty for the one that rows of earlier
// releases, which name no storage, belong to.
func StorageOf(features driver.Features, store, strategy, keyPrefix string) Storage {
	if features.Local {
		return Storage{place: inProcess, main: store == ""}
	}
	place := strategy + "/" + strings.TrimSuffix(keyPrefix, ":")
	if store != "" {
		place = store + "@" + place
	}
	return Storage{place, store == "", features.Shared}
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

// died reports whether the storage of a row ended with its process.
func (s Storage) died(row Revocation) bool { return row.Storage == inProcess }

// concerns reports whether a row has to be applied here. A row with another id has to be, too: the
// id changes if the contents were lost, but some of them may have survived.
func (s Storage) concerns(row Revocation) bool {
	if s.place == inProcess {
		return false
	}
	place, _ := cutLast(row.Storage)
	return row.Storage == "" && s.main || place == s.place || s.owns(row)
}

// owns reports whether a row may be forgotten after it was applied here. A row of another storage
// at the same place must stay, because that storage may come back with the entry.
func (s Storage) owns(row Revocation) bool {
	place, id := cutLast(row.Storage)
	switch {
	case row.Storage == "": // of an earlier release
		return s.main && s.place != inProcess
	case row.Storage == inProcess:
		return s.place == inProcess
	case id == "": // the storage had not been reached before
		return place == s.place
	}
	return id == s.id() // ids are random, so the name of the strategy does not matter
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
