package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// A revocation reaches the keys that its node computes. A node with another number of lanes
// computes other keys, and never notices it. Therefore one key of the namespace, its fingerprint,
// says how keys are made. A node serves hits, stores, and confirms revocations only while it agrees
// with the fingerprint. All this rests on two rules:
//
//   - A node is active until lapse has passed since it asked for the fingerprint that it agrees
//     with. It asks every checkEvery, and after a connection was lost or made.
//   - A new fingerprint is unsettled, unless the namespace is otherwise empty. It becomes settled
//     after two intervals, which is longer than lapse, and after everything in the namespace was
//     deleted. No node is active on an unsettled one. A node that is active puts its own
//     fingerprint back if it finds none, or an unsettled one.
//
// So once a fingerprint is settled, no node that differs is active: it would have seen the new
// fingerprint, and either replaced it or stopped. And what other nodes have left is gone, so
// nothing comes back if the lanes are changed there and back.

const (
	// checkEvery is the pause between two looks at the fingerprint. pause is how long a new one is
	// unsettled.
	checkEvery = 10 * time.Second
	pause      = 2 * checkEvery
	// lapse is shorter than pause, because clocks do not run at the same speed.
	lapse = pause - time.Second
	// nextCheck replaces checkEvery while this node is not active.
	nextCheck = time.Second
	// unsettledTTL is how long an unsettled fingerprint outlives the last node that waits for it.
	unsettledTTL = time.Minute
	// maxTurns is how often one check may meet a fingerprint that has just changed.
	maxTurns = 8
)

var (
	errUnverified = fmt.Errorf("%w: it is not known whether the nodes agree; the fingerprint was not read recently", driver.ErrUnavailable)
	errUnsettled  = fmt.Errorf("%w: the namespace had entries but no fingerprint; it is used when all nodes had time to notice, and is cleared before",
		driver.ErrUnavailable)
)

// slot is where the fingerprint of a namespace is. Each call has its own deadline.
type slot interface {
	// read returns the fingerprint as text. It is empty if there is none.
	read(ctx context.Context) (raw string, err error)
	// swap replaces the fingerprint if it is old, and returns what is there then. A life of zero
	// means no expiry.
	swap(ctx context.Context, old, with string, life time.Duration) (raw string, err error)
	// empty reports whether the namespace is otherwise empty. It returns false if it cannot find
	// out soon.
	empty(ctx context.Context) (bool, error)
	// wipe deletes everything else in the namespace, whichever node made it.
	wipe(ctx context.Context) error
}

// agreement is one node's view of the fingerprint.
type agreement struct {
	slot      slot
	namespace string
	own       fingerprint // format and lanes
	logger    *slog.Logger
	base      time.Time
	// until is when this node stops being active unless it has read the fingerprint by then, as a
	// time since base.
	until    atomic.Int64
	agreed   atomic.Pointer[terms] // what was agreed on last; nil: nothing yet
	declared time.Duration         // the lag of this node's L1; 0: it has none
	again    chan struct{}         // has room for one request to read the fingerprint now

	mu sync.Mutex
	// rechecks counts the reasons to read the fingerprint again. A reading that began before the
	// last of them does not count.
	rechecks int
	asked    time.Time     // since when somebody has wanted it to be read; zero: nobody
	failing  error         // of the last attempt
	read     chan struct{} // closed after an attempt to read it
	refusal  error         // why this node is not active, if that is known

	// What follows belongs to the goroutine that checks.
	confirmed time.Time // when the fingerprint in seen was asked for
	seen      string    // settled, and agrees with own
	awaited   string    // agrees with own, and is unsettled or has a raise
	since     time.Time // when awaited was first seen
	differed  bool
	retry     time.Duration
	reported  string
	reportAt  time.Time // when the same may be logged again
}

func newAgreement(s slot, namespace string, lanes int, logger *slog.Logger) *agreement {
	return &agreement{
		slot: s, namespace: namespace, own: fingerprint{Format: format, Lanes: lanes}, logger: logger,
		base: time.Now(), again: make(chan struct{}, 1), read: make(chan struct{}),
	}
}

// active reports whether this node is active.
func (a *agreement) active(now time.Time) bool {
	return now.Sub(a.base) < time.Duration(a.until.Load())
}

// holds returns nil if this node was active at the time now. Otherwise it waits for the fingerprint
// to be read, unless the server does not answer.
func (a *agreement) holds(ctx context.Context, now time.Time) error {
	for !a.active(now) {
		a.mu.Lock()
		refusal, asked, read, failing := a.refusal, a.asked, a.read, a.failing
		if refusal == nil && asked.IsZero() {
			a.asked, asked = now, now
			a.wake()
		}
		a.mu.Unlock()
		if refusal != nil {
			return refusal
		}
		if failing != nil && now.Sub(asked) > suspicionGrace {
			return fmt.Errorf("%w: %w", errUnverified, failing)
		}
		select {
		case <-read:
		case <-ctx.Done():
			return ctx.Err()
		}
		now = time.Now()
	}
	return nil
}

// differs returns an error if this node is known to differ.
func (a *agreement) differs() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var different *disagreement
	if errors.As(a.refusal, &different) {
		return different
	}
	return nil
}

// failure returns why the fingerprint could not be read last, or nil.
func (a *agreement) failure() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failing
}

// recheck has the fingerprint read before this node is active again. It is called when the node may
// be talking to another server.
func (a *agreement) recheck() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rechecks++
	a.until.Store(0)
	if a.asked.IsZero() {
		a.asked = time.Now()
	}
	a.wake()
}

// wake has the fingerprint read now, whether or not this node is active.
func (a *agreement) wake() {
	select {
	case a.again <- struct{}{}:
	default:
	}
}

// watch checks after a pause, and then again and again until life ends.
func (a *agreement) watch(life context.Context, after time.Duration) {
	defer a.end()
	for life.Err() == nil {
		again := a.again
		if a.retry > 0 { // otherwise a server that accepts connections and closes them would be asked all the time
			again = nil
		}
		timer := time.NewTimer(after)
		select {
		case <-timer.C:
		case <-again:
		case <-life.Done():
		}
		timer.Stop()
		after = a.check(life)
	}
}

// end lets nobody wait for a reading that does not come any more.
func (a *agreement) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refusal = driver.ErrClosed
	close(a.read)
	a.read = make(chan struct{})
}

// check reads the fingerprint once, makes one if there is none, and returns when to check again.
func (a *agreement) check(ctx context.Context) (after time.Duration) {
	a.mu.Lock()
	rechecks := a.rechecks
	a.mu.Unlock()
	refusal, err := a.compare(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failing = err; lackingPermission(err) != nil {
		a.failing = lackingPermission(err)
	}
	close(a.read)
	a.read = make(chan struct{})
	if err != nil {
		if a.asked.IsZero() {
			a.asked = time.Now()
		}
		if !errors.Is(err, driver.ErrUnavailable) && isAnswer(err) {
			a.report(err) // something to be fixed; an outage is logged elsewhere
		}
		a.retry = min(max(firstProbe, 2*a.retry), lastProbe)
		return a.retry
	}
	a.refusal, a.retry = refusal, 0
	a.report(refusal)
	after = nextCheck
	switch {
	case refusal != nil:
		a.until.Store(0)
	case rechecks == a.rechecks:
		a.until.Store(int64(a.confirmed.Add(lapse).Sub(a.base)))
		after = checkEvery
		if a.awaited == a.seen {
			after = min(after, max(nextCheck, pause-time.Since(a.since)))
		}
	}
	if rechecks == a.rechecks {
		a.asked = time.Time{}
	}
	return after
}

// compare returns why this node must not be active, or nil. err says that it could not find out.
func (a *agreement) compare(ctx context.Context) (refusal, err error) {
	began := time.Now()
	raw, err := a.slot.read(ctx)
	for range maxTurns {
		if err != nil {
			return nil, err
		}
		f, ok := parse(raw)
		active := a.seen != "" && began.Sub(a.confirmed) < lapse
		with, life := "", time.Duration(0)
		switch {
		case ok && f.Settled && f.agrees(a.own):
			a.adopt(raw, f, began)
			began = time.Now()
			now, err := a.raise(ctx, raw, f)
			if now == raw || err != nil { // for lack of memory, say: this node is active all the same
				return nil, nil //nolint:nilerr // it is tried again
			}
			raw = now
			continue
		case active && (!ok || !f.Settled):
			with = putBack(a.seen)
		case !ok:
			if with, err = a.fresh(ctx); err != nil {
				return nil, err
			}
		case !f.agrees(a.own):
			a.seen, a.awaited, a.differed = "", "", true
			return &disagreement{a.namespace, a.own, f}, nil
		case raw != a.awaited:
			a.awaited, a.since = raw, time.Now()
			return errUnsettled, nil
		case began.Sub(a.since) < pause:
			if raw, err = a.slot.swap(ctx, raw, raw, unsettledTTL); raw == a.awaited || err != nil {
				return errUnsettled, err
			}
			continue
		default:
			if err := a.slot.wipe(ctx); err != nil {
				return nil, err
			}
			with = edited(raw, map[string]any{"settled": true})
		}
		if f, _ := parse(with); !f.Settled {
			life = unsettledTTL
		}
		began = time.Now()
		raw, err = a.slot.swap(ctx, raw, with, life)
	}
	return nil, fmt.Errorf("%w: the fingerprint changes all the time", driver.ErrUnavailable)
}

// fresh returns a new fingerprint. It is settled at once if the namespace is empty. But if this
// node has differed, it is not: the others may be about to put theirs back.
func (a *agreement) fresh(ctx context.Context) (string, error) {
	f := a.own
	f.ID = newName()
	if a.differed {
		return f.String(), nil
	}
	var err error
	f.Settled, err = a.slot.empty(ctx)
	return f.String(), err
}

// report logs why this node is not active, when that changes, and from time to time.
func (a *agreement) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == a.reported && (err == nil || time.Now().Before(a.reportAt)) {
		return
	}
	a.reported, a.reportAt = text, time.Now().Add(reportEvery)
	if lacking := lackingPermission(err); lacking != nil {
		err = lacking
	}
	var different *disagreement
	switch {
	case errors.As(err, &different):
		a.logger.Error("redis: this node differs from the others; it serves no hits, and its revocations are pending",
			"namespace", a.namespace, "lanes", different.here.Lanes, "lanes of the others", different.others.Lanes,
			"format", different.here.Format, "format of the others", different.others.Format)
	case err != nil:
		a.logger.Warn("redis: no hits are served, and revocations are pending", "namespace", a.namespace, "error", err)
	default:
		a.logger.Info("redis: the nodes agree", "namespace", a.namespace)
	}
}
