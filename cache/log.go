package cache

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// warnEvery is how often each kind of warning may be logged. Otherwise a storage that is down would
// log once per request.
const warnEvery = 10 * time.Second

// warning is a kind of warning.
type warning int

const (
	ofReads warning = iota
	ofFills
	ofDamage
	ofRevocations
	ofRefreshes
	warnings // how many kinds there are
)

// throttle lets one warning through per interval and counts the others.
type throttle struct {
	next       atomic.Int64 // Unix nanoseconds
	suppressed atomic.Uint64
}

// throttledLogger logs the warnings of one store.
type throttledLogger struct {
	logger    *slog.Logger
	strategy  string
	throttles [warnings]throttle
}

// warn logs a warning, unless one of its kind was logged a moment ago.
func (l *throttledLogger) warn(ctx context.Context, kind warning, message string, err error, more ...any) {
	l.warnOnce(ctx, &l.throttles[kind], message, err, more...)
}

// warnOnce is warn with a throttle of the caller's.
func (l *throttledLogger) warnOnce(ctx context.Context, t *throttle, message string, err error, more ...any) {
	now, next := time.Now(), t.next.Load()
	if now.UnixNano() < next || !t.next.CompareAndSwap(next, now.Add(warnEvery).UnixNano()) {
		t.suppressed.Add(1)
		return
	}
	l.logger.WarnContext(ctx, message, append([]any{"strategy", l.strategy,
		"error", err, "suppressed", t.suppressed.Swap(0)}, more...)...)
}
