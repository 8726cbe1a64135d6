package checker

import (
	"errors"

	"github.com/fxcache/fxcache/cache"
)

// Kind is what a client did.
type Kind uint8

// The operations.
const (
	Get        Kind = iota // GetOrLoad, Get, or one key of GetMany or GetOrLoadMany
	Put                    // Update: creates a session, or changes it
	Revoke                 // Delete, after the database forgot the session or row
	RevokeUser             // DeleteUser, or InvalidateTags, likewise for all that a user owns
	RevokeKind             // Clear of the session cache, or InvalidateTags of the tag that all rows have
	Clear                  // Clear of the Service, likewise for everything
)

// String implements fmt.Stringer.
func (k Kind) String() string {
	return [...]string{"get", "put", "revoke", "revoke-user", "revoke-kind", "clear"}[k]
}

// revokes reports whether the operation takes sessions away.
func (k Kind) revokes() bool { return k >= Revoke }

// Outcome is how an operation ended.
type Outcome uint8

// The outcomes.
const (
	// Done: it returned nil. From then on, no node may serve what it replaced.
	Done Outcome = iota
	// Pending: it returned a cache.PendingError. The node that it ran on must not serve what it
	// replaced.
	Pending
	// Failed: it returned any other error, or its process died. It may have been applied, it may be
	// applied later, or it may never be.
	Failed
	// Silent: a read that proves nothing, because it was a miss and did not ask the database.
	Silent
)

func outcomeOf(err error) Outcome {
	var pending *cache.PendingError
	switch {
	case err == nil:
		return Done
	case errors.As(err, &pending):
		return Pending
	default:
		return Failed
	}
}

// Mark is one version of one token.
type Mark struct {
	Token   int
	Version int64
}

// Event is one operation as its client saw it. All times come from [Now].
type Event struct {
	Kind         Kind
	Outcome      Outcome
	Node, Client int
	// Call is when it began, Return when it returned.
	Call, Return int64
	// Read is the result of a Get. Its Version means nothing if Gone is set.
	Read Mark
	// Gone: the Get found no session.
	Gone bool
	// Acked are the versions that a write made known. Committed is when the database had answered.
	// From then on the cache was being told to drop everything older.
	Acked     []Mark
	Committed int64
	// Foreign is set if a Get returned a session of another token or user. It says which one.
	Foreign string
}

// Window is everything that clients did between two moments at which all of them were idle.
type Window struct {
	Number int
	Events []Event
	// Base and Top are the versions in the database when the window begins and when it ends.
	Base, Top [Tokens]int64
	// Lossy: a replica became master, and data that only the old master had may be lost. Stored
	// values may be among it. Revocations are not, because wait_replicas keeps them.
	Lossy bool
	// Skew is the greatest error of any node's clock while it stored entries that may still exist.
	Skew int64
}
