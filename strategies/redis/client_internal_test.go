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

// An outage is logged at once, and then every ten minutes while it lasts. A cause that somebody has
// to fix is logged even if it comes later. Nothing is logged when the application stops.
func TestOutageIsLoggedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		c := newClient(rueidis.ClientOption{}, 0, slog.New(slog.NewTextHandler(&log, nil)))
		refused := answered("h:1", "WRONGPASS no", false)
		for minute := range 60 {
			for range 600 {
				c.failed(driver.ErrUnavailable)
				if minute >= 30 {
					c.failed(typed(refused))
				}
				<-time.After(100 * time.Millisecond)
			}
			down, wrong := strings.Count(log.String(), "redis: unavailable"), strings.Count(log.String(), "cannot be used")
			if wantDown, wantWrong := minute/10+1, max(0, (minute-20)/10); down != wantDown || wrong != wantWrong {
				t.Fatalf("after %d minutes it is logged %d and %d times, want %d and %d", minute+1, down, wrong, wantDown, wantWrong)
			}
		}
		if err := c.close(t.Context()); err != nil {
			t.Error(err)
		}
		before := log.String()
		<-time.After(reportEvery)
		c.failed(driver.ErrUnavailable)
		c.failed(typed(refused))
		if after := log.String(); after != before {
			t.Errorf("it is logged after the end: %s", after[len(before):])
		}
	})
}

// A node that may not read the fingerprint says so at once, and every ten minutes.
func TestRefusalIsLoggedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		a := newAgreement(nil, "n:", 1, slog.New(slog.NewTextHandler(&log, nil)))
		for minute := range 30 {
			for range 60 {
				a.report(&ServerError{Code: "NOPERM"})
				<-time.After(time.Second)
			}
			if n := strings.Count(log.String(), "redis.username"); n != minute/10+1 {
				t.Fatalf("after %d minutes it is logged %d times", minute+1, n)
			}
		}
	})
}

// The prose of Redis is looked at before its first word, which may only look like a code.
func TestCodes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ACL failure in script: User x has no permissions to run the 'get' command":                  "NOPERM",
		"The user executing the script can't run this command or subcommand":                         "NOPERM",
		"NOPERM this user has no permissions to run the 'get' command":                               "NOPERM",
		"OOM command not allowed when used memory > 'maxmemory'.":                                    "OOM",
		"max number of clients reached":                                                              "MAXCLIENTS",
		"DB index is out of range":                                                                   "ERR",
		"AUTH <password> called without any password configured for the default user. Are you sure?": "ERR",
		"SELECT is not allowed in cluster mode":                                                      "ERR",
		"WAIT cannot be used with replica instances. Please also note…":                              "READONLY",
		"WRONGPASS invalid username-password pair or user is disabled.":                              "WRONGPASS",
		"unknown command 'X'": "ERR", "": "ERR",
	} {
		if got := code(text); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}
