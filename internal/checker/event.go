package checker

import (
	"errors"

	"github.com/fxcache/fxcache/cache"
)

// Kind is what a client did.
type Kind uint8

// The operations.
const (
	Get        Kind = iota // GetOrLoad, Get, or one key of GetMany
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
	// Done: it returned nil. What it replaced must not be seen any more, by anybody.
	Done Outcome = iota
	// Pending: it returned a cache.PendingError. The node that it ran on must not serve what it
	// replaced.
	Pending
	// Failed: it returned any other error, or its process died. It may have been applied, may be
	// later, or never.
	Failed
	// Silent: a read that says nothing, because it was a miss that did not ask the database.
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

// Event is one operation as its client saw it. All times are those of [Now].
type Event struct {
	Kind         Kind
	Outcome      Outcome
	Node, Client int
	// Call is when it began, Return when it returned.
	Call, Return int64
	// Read is what a Get returned; its Version means nothing where Gone is set.
	Read Mark
	// Gone: the Get found no session.
	Gone bool
	// Acked are the versions that a write made known: from Committed on, which is when the database
	// had answered, the cache was told that everything older must go.
	Acked     []Mark
	Committed int64
	// Foreign says that a Get returned a session of another token or user, and which.
	Foreign string
}

// Window is what all clients did between two moments at which none was doing anything.
type Window struct {
	Number int
	Events []Event
	// Base and Top are the versions that the database had at its begin, and has at its end.
	Base, Top [Tokens]int64
	// Lossy: a replica became master. What only the old master knew may be lost: that is not a
	// revocation, for wait_replicas keeps those, but may be a value that was stored.
	Lossy bool
	// Skew is how wrong the clock of any node was, at most, when it stored what may still be there.
	Skew int64
}
