// Package revocation keeps guarantee G4: a revocation is never lost silently.
//
// A Delete, InvalidateTags or Clear that the storage did not take is pending. The [Queue] tries it
// again until it is applied. Until then [Queue.Drain] fails, so that this process serves no hit.
// Other processes may still be serving what was revoked, so the caller is told until when that can
// go on. An [Outbox] keeps pending revocations where they outlive the process.
//
// The queue knows no strategy and no cache. It is given a function that applies revocations, a
// clock, and a function that starts goroutines.
package revocation
