package redistest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// patience bounds the time for anything to become ready. An idle machine needs a tenth of it.
	patience = 30 * time.Second
	// pollEvery is short compared with the wait, and long enough to leave the processors to the
	// servers.
	pollEvery = 20 * time.Millisecond
	// checkTimeout bounds one look, so that a server which hangs does not use up all patience.
	checkTimeout = 2 * time.Second
)

// errEnded says that waiting has become pointless.
var errEnded = errors.New("redis-server has ended")

// await calls check until it returns nil or errEnded, for as long as patience lasts. Its error is
// the last one of check.
func await(ctx context.Context, check func(context.Context) error) error {
	// Verbs are also called from t.Cleanup, when the test's context has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		once, cancelOnce := context.WithTimeout(ctx, checkTimeout)
		err := check(once)
		cancelOnce()
		if err == nil || errors.Is(err, errEnded) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", patience, err)
		case <-ticker.C:
		}
	}
}
