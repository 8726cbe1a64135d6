package redis

import (
	"context"
	"encoding/hex"
	"time"
)

// A node may have an L1: a storage in its process, which serves entries without asking Redis. It
// serves them for at most a lag after Redis has told it that nothing of them was revoked. So what
// is revoked in Redis is forgotten everywhere when the lag has passed, and every node waits for
// that in its revocations, whether or not it has an L1 itself. The fingerprint has two lags:
// revocations wait for LagMS, and an L1 uses UsableMS at the most. (The idea is that of leases, see
// Gray and Cheriton, SOSP 1989.)
//
//   - A node whose L1 wants more than is usable raises LagMS. After a pause it makes that usable.
//     By then every node that is active has read LagMS, because lapse is shorter. If the node has
//     died meanwhile, another one that wants an L1 does it.
//   - The pause counts only if LagMS was there all the time. Otherwise a node may have read less
//     meanwhile, and be active still. So each raise has a name, and the pause begins again under
//     another name. Whoever raises more gives a new one.
//   - So does a node that puts back a fingerprint that was lost. It cannot know what others have
//     read before it came, so nothing is usable then, until a pause has passed.
//   - Nothing lowers LagMS but an operator, or a server that has lost it. Each L1 stops when it
//     asks Redis the next time, but may go on for a lag until then. So a node that reads less than
//     before, or another ID, reports MaxLag for that long.

// MaxLag is the longest lag that an L1 may have. A release that allows a longer one needs another
// format.
const MaxLag = 500 * time.Millisecond

// doubt is for how long a lag that has fallen is not trusted. It is longer than MaxLag, because
// clocks do not run at the same speed.
const doubt = MaxLag + MaxLag/10

// terms are a fingerprint that this node has agreed with.
type terms struct {
	fingerprint

	raw   string
	trust time.Time // when the lag is trusted; zero: always
}

// duration returns a lag of the fingerprint. No L1 uses more than MaxLag, whatever stands there.
func duration(ms int64) time.Duration {
	return time.Duration(min(max(0, ms), MaxLag.Milliseconds())) * time.Millisecond
}

// lag is what revocations wait for.
func (f fingerprint) lag() time.Duration { return duration(max(f.LagMS, f.UsableMS)) }

// usable is what an L1 may use.
func (f fingerprint) usable() time.Duration { return duration(f.UsableMS) }

// putBack returns what is put in place of the fingerprint in raw, which was lost.
func putBack(raw string) string {
	f, _ := parse(raw)
	if f.lag() == 0 {
		return raw
	}
	return edited(raw, map[string]any{"lag_ms": f.lag().Milliseconds(), "usable_ms": 0, "raise": newName()})
}

// newName returns the name of a raise, or the ID of a storage.
func newName() string { return hex.EncodeToString([]byte(nonces(1))) }

// adopt notes a settled fingerprint that this node agrees with, and when it was asked for.
func (a *agreement) adopt(raw string, f fingerprint, asked time.Time) {
	a.confirmed, a.seen, a.differed = asked, raw, false
	if raw != a.awaited {
		a.awaited = ""
	}
	t := &terms{fingerprint: f, raw: raw}
	if before := a.agreed.Load(); before != nil {
		t.trust = before.trust
		if f.ID != before.ID || f.lag() < before.lag() {
			t.trust = time.Now().Add(doubt)
		}
	}
	a.agreed.Store(t)
}

// raise takes the next step to the lag that this node has declared, if there is one to take. It
// returns what is there then.
func (a *agreement) raise(ctx context.Context, raw string, f fingerprint) (now string, err error) {
	changes := map[string]any{}
	switch {
	case a.declared <= f.usable():
		return raw, nil
	case a.declared > duration(f.LagMS) || f.Raise == "":
		declared := a.declared + time.Millisecond - 1 // to a whole number
		changes["lag_ms"], changes["raise"] = max(f.LagMS, declared.Milliseconds()), newName()
	case raw != a.awaited:
		a.awaited, a.since = raw, time.Now()
		return raw, nil
	case time.Since(a.since) < pause:
		return raw, nil
	default:
		changes["usable_ms"], changes["raise"] = f.LagMS, ""
	}
	return a.slot.swap(ctx, raw, edited(raw, changes), 0)
}

// lag returns what the L1 of this node may use, by the fingerprint that was read last.
func (a *agreement) lag() time.Duration {
	if !a.active(time.Now()) {
		return 0
	}
	return min(a.declared, a.agreed.Load().usable())
}

// usableLag returns what the L1 of this node may use if raw is the fingerprint: zero if it is lost
// or unsettled, or not what this node agrees with. What this node has not seen before, it reads
// itself at once, to put it back if need be.
func (a *agreement) usableLag(raw string) time.Duration {
	if f, ok := a.current(raw); ok {
		return min(a.declared, f.usable())
	}
	return 0
}

// current returns the fingerprint in raw, and whether this node is active and agrees with it.
func (a *agreement) current(raw string) (f fingerprint, ok bool) {
	t := a.agreed.Load()
	if t == nil || !a.active(time.Now()) {
		return f, false
	}
	if raw != t.raw {
		a.wake()
	}
	f, ok = parse(raw)
	return f, ok && f.Settled && f.agrees(a.own) && f.ID == t.ID
}

// propagation returns how long L1s may serve what was there before an operation that was answered.
func (a *agreement) propagation() time.Duration {
	now := time.Now()
	if !a.active(now) { // the lag may have been raised since
		return MaxLag
	}
	t := a.agreed.Load()
	if now.Before(t.trust) {
		return MaxLag
	}
	return t.lag()
}
