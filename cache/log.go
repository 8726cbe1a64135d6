package cache

import (
	"context"
	"log/slog"

	"github.com/fxcache/fxcache/internal/throttle"
)

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

// throttledLogger logs the warnings of one store.
type throttledLogger struct {
	logger    *slog.Logger
	store     *store
	throttles [warnings]throttle.Throttle
}

// warn logs a warning, unless one of its kind was logged a moment ago.
func (l *throttledLogger) warn(ctx context.Context, kind warning, message string, err error) {
	l.warnOnce(ctx, &l.throttles[kind], message, err)
}

// warnOnce is warn with a throttle of the caller's.
func (l *throttledLogger) warnOnce(ctx context.Context, t *throttle.Throttle, message string, err error, more ...any) {
	suppressed, ok := t.Pass()
	if !ok {
		return
	}
	l.logger.WarnContext(ctx, message, append([]any{"store", l.store.name, "strategy", l.store.door().strategyName, "error", err, "suppressed", suppressed}, more...)...)
}
