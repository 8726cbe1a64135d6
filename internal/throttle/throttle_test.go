package throttle_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/internal/throttle"
)

func TestPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var once throttle.Throttle
		for round := range uint64(3) {
			if suppressed, ok := once.Pass(); !ok || suppressed != round {
				t.Errorf("round %d: %d, %t", round, suppressed, ok)
			}
			for range round {
				if _, ok := once.Pass(); ok {
					t.Error("a second one passes")
				}
			}
			<-time.After(throttle.Interval - 1)
			if _, ok := once.Pass(); ok {
				t.Error("one passes before the interval has ended")
			}
			<-time.After(1)
		}
	})
}
