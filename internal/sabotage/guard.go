// Package sabotage takes the guards of fxcache out, one at a time, so that the checkers can be shown to
// miss none: `make sabotage` builds them with the tag of the same name, and names one guard after
// the other in FXCACHE_SABOTAGE.
//
// Without the tag, Off is a constant false in a function that is inlined: the compiler removes it and
// whatever it guards: `go tool nm` finds no symbol of this package in such a binary.
package sabotage

import "context"

// Guard is the name of one guard, as FXCACHE_SABOTAGE has it.
type Guard string

// Variable is the environment variable that names the guard which is off.
const Variable = "FXCACHE_SABOTAGE"

// The guards of internal/fence, for bigcache and for strategies without leases.
const (
	// Fence: an entry is older than the last invalidation of one of its tags.
	Fence Guard = "fence"
	// FenceClear: an entry or lease is older than the last Clear.
	FenceClear Guard = "fence-clear"
	// Lease: a Fill needs the lease that is out.
	Lease Guard = "lease"
	// LeaseRevocation: a Delete or Set revokes the lease that is out.
	LeaseRevocation Guard = "lease-revocation"
)

// The guards of strategies/redis.
const (
	// Nonce: an entry is good while the nonces of its tags are those it was stored with.
	Nonce Guard = "nonce"
	// NonceRandomness: a new nonce was never there before.
	NonceRandomness Guard = "nonce-randomness"
	// LeaseToken: a Fill needs the lease that is out.
	LeaseToken Guard = "lease-token"
	// DeleteEndsLease: a Delete revokes the lease that is out.
	DeleteEndsLease Guard = "delete-ends-lease"
	// SetEndsLease: a Set revokes the lease that is out.
	SetEndsLease Guard = "set-ends-lease"
	// InvalidateNotesLedger: an invalidation is noted in the ledger.
	InvalidateNotesLedger Guard = "invalidate-notes-ledger"
	// LedgerBucket: a Fill is refused when one of its tags was invalidated since the lease.
	LedgerBucket Guard = "ledger-bucket"
	// LedgerEpoch: a Fill is refused when the ledger that its lease refers to was lost.
	LedgerEpoch Guard = "ledger-epoch"
)

// The guards of package cache.
const (
	// FlightBoarding: who comes after the load began waits for a load of their own.
	FlightBoarding Guard = "flight-boarding"
	// FlightClosing: who comes while the loaded value is being stored starts another flight.
	FlightClosing Guard = "flight-closing"
	// UpdateDeletes: an Update that cannot store deletes the entry.
	UpdateDeletes Guard = "update-deletes"
	// HideRefusedSet: a Set or Fill that is refused removes the value that it should have replaced.
	HideRefusedSet Guard = "hide-refused-set"
	// DeadlineCancellation: an operation ends at its deadline, instead of going on in the background.
	DeadlineCancellation Guard = "deadline-cancellation"
	// RevocationError: a revocation that failed returns an error.
	RevocationError Guard = "revocation-error"
	// OwedRetry: a revocation that failed is owed.
	OwedRetry Guard = "owed-retry"
	// DrainBeforeServe: no hit is served while a revocation is owed.
	DrainBeforeServe Guard = "drain-before-serve"
	// BreakerBypass: revocations do not ask the circuit breaker.
	BreakerBypass Guard = "breaker-bypass"
)

// The guards of package sessioncache.
const (
	// TTLCap: a session is stored for no longer than until it expires.
	TTLCap Guard = "ttl-cap"
	// SoftExpiry: a session is served for no longer than stale_after.
	SoftExpiry Guard = "soft-expiry"
	// ExpiredSession: a session that has expired is not served, even if the storage still has it.
	ExpiredSession Guard = "expired-session"
	// TokenMismatch: a session is not cached under another token than its own.
	TokenMismatch Guard = "token-mismatch"
)

// Guards returns all of them.
func Guards() []Guard {
	return []Guard{
		Fence, FenceClear, Lease, LeaseRevocation,
		Nonce, NonceRandomness, LeaseToken, DeleteEndsLease, SetEndsLease, InvalidateNotesLedger, LedgerBucket, LedgerEpoch,
		FlightBoarding, FlightClosing, UpdateDeletes, HideRefusedSet, DeadlineCancellation,
		RevocationError, OwedRetry, DrainBeforeServe, BreakerBypass,
		TTLCap, SoftExpiry, ExpiredSession, TokenMismatch,
	}
}

// Race runs operation as one does who only stops waiting at the deadline: it goes on in the background,
// and what it does then is not heard of.
func Race(ctx context.Context, operation func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- operation(context.WithoutCancel(ctx)) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
