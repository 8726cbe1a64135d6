package redis

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

// A part of a Cluster is down, the others answer: that is one outage.
func TestOutageIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		c := newClient(rueidis.ClientOption{}, slog.New(slog.NewTextHandler(&log, nil)))
		want := func(when string, downs, ups int) {
			t.Helper()
			if down, up := strings.Count(log.String(), "redis: unavailable"), strings.Count(log.String(), "available again"); down != downs || up != ups {
				t.Errorf("%s: logged %d times that it is down and %d times that it is up again, want %d and %d", when, down, up, downs, ups)
			}
		}
		_ = c.answered(nil) // it is given an error to classify, and returns it
		want("at first", 0, 0)
		for range 100 {
			_ = c.answered(cache.ErrUnavailable)
			time.Sleep(calm - time.Millisecond)
			_ = c.answered(nil)
		}
		want("in a partial outage", 1, 0)
		time.Sleep(time.Millisecond)
		_ = c.answered(nil)
		want("after it", 1, 1)
		_ = c.answered(cache.ErrUnavailable)
		want("in the next one", 2, 1)
	})
}
