package redis

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// A part of a Cluster is down, the others answer: that is one outage.
func TestOutageIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		c := newClient(rueidis.ClientOption{}, 0, slog.New(slog.NewTextHandler(&log, nil)))
		want := func(when string, downs, ups int) {
			t.Helper()
			if down, up := strings.Count(log.String(), "redis: unavailable"), strings.Count(log.String(), "available again"); down != downs || up != ups {
				t.Errorf("%s: logged %d times that it is down and %d times that it is up again, want %d and %d", when, down, up, downs, ups)
			}
		}
		_ = c.observe(nil) // it is given an error to classify, and returns it
		want("at first", 0, 0)
		for range 100 {
			_ = c.observe(driver.ErrUnavailable)
			<-time.After(recoveryAfter - time.Millisecond)
			_ = c.observe(nil)
		}
		want("in a partial outage", 1, 0)
		<-time.After(time.Millisecond)
		_ = c.observe(nil)
		want("after it", 1, 1)
		_ = c.observe(driver.ErrUnavailable)
		want("in the next one", 2, 1)
	})
}

// One lane gets no answer and its bulkhead is closed, so that nobody fails there; the other one
// works.
func TestOutageOfALaneIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		c := newClient(rueidis.ClientOption{}, 0, slog.New(slog.NewTextHandler(&log, nil)))
		all := newBulkheads(c, newKeyspace("n:", 2), 1)
		end := func(lane int, err error) { all.record(lane, c.observe(err), time.Now().Add(-minSilence)) }
		for range maxUnanswered {
			end(1, context.DeadlineExceeded)
		}
		for second := range 60 {
			<-time.After(time.Second)
			end(0, nil)
			if err := all.lanes[1].enter(t.Context()); !errors.Is(err, errNoAnswer) {
				t.Fatalf("the bulkhead of the other lane: %v", err)
			}
			if second%5 == 4 { // a revocation, which does not pass the bulkhead
				end(1, context.DeadlineExceeded)
			}
		}
		if down, up := strings.Count(log.String(), "redis: unavailable"), strings.Count(log.String(), "available again"); down != 1 || up != 0 {
			t.Errorf("logged %d times that it is down and %d times that it is up again, want 1 and 0", down, up)
		}
		if rarest := replyTimeout + lastProbe*3/2; recoveryAfter <= rarest { // a probe of a server that hangs, and the pause after it
			t.Errorf("nothing failing for %v ends an outage, and probes may fail every %v", recoveryAfter, rarest)
		}
		if err := c.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
