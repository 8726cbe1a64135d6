package sessioncache

import "time"

// Decode, NewRecord and the alias give black-box tests access to parts that only Default uses.
var (
	Decode    = decode
	NewRecord = newRecord
)

// Record is record.
type Record = record

// SetToken is setToken.
func (r *record) SetToken(token string) { r.setToken(token) }

// Renewals is renewals.
type Renewals = renewals

// NewRenewals returns an empty Renewals.
func NewRenewals() *Renewals { return new(renewals) }

// TryStart is tryStart.
func (r *renewals) TryStart(session uint64, now time.Time, pause time.Duration) bool {
	return r.tryStart(session, now, pause)
}

// Finish is finish.
func (r *renewals) Finish(session uint64, began time.Time, pause time.Duration, settled bool) {
	r.finish(session, began, pause, settled)
}

// Len returns how many sessions are remembered.
func (r *renewals) Len() int { return len(r.running) + len(r.tried[0]) + len(r.tried[1]) }
