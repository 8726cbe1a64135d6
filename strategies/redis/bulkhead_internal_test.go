package redis

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// bare are the bulkheads of two lanes without a connection: no probe is ever answered.
func bare(t *testing.T) *bulkheads {
	t.Helper()
	c := newClient(rueidis.ClientOption{}, 0, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := c.close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return newBulkheads(c, newKeyspace("n:", 2), 1)
}

// What makes a server suspect: so many operations in a row that waited and got no answer, in that
// lane.
func TestSuspect(t *testing.T) {
	t.Parallel()
	type end struct {
		err    error
		waited time.Duration
	}
	silent := end{context.DeadlineExceeded, minSilence}
	impatient := end{context.DeadlineExceeded, minSilence / 2}
	lost, left := end{driver.ErrUnavailable, 0}, end{context.Canceled, minSilence}
	refused, answered := end{&ServerError{Code: "OOM"}, minSilence}, end{nil, minSilence}
	for name, test := range map[string]struct {
		ends    []end
		suspect bool
	}{
		"silences":          {[]end{silent, silent, silent}, true},
		"one less":          {[]end{silent, silent}, false},
		"too short to tell": {[]end{impatient, impatient, impatient, impatient}, false},
		"callers left":      {[]end{left, left, left, left}, false},
		"no connection":     {[]end{lost, lost, lost}, true},
		"one answer":        {[]end{silent, silent, answered, silent, silent}, false},
		"one refusal":       {[]end{silent, silent, refused, silent, silent}, false},
		"refusals":          {[]end{refused, refused, refused, refused}, false},
	} {
		all := bare(t)
		for _, e := range test.ends {
			all.record(1, e.err, time.Now().Add(-e.waited))
		}
		if suspect := all.lanes[1].suspect.Load() != nil; suspect != test.suspect {
			t.Errorf("%s: suspect %t", name, suspect)
		}
		if all.lanes[0].suspect.Load() != nil {
			t.Errorf("%s: the other lane is suspect", name)
		}
	}
}

// A suspicion that has ended is forgotten: one more silence is the first one.
func TestTrust(t *testing.T) {
	t.Parallel()
	all := bare(t)
	g := &all.lanes[0]
	for range maxUnanswered {
		all.record(0, context.DeadlineExceeded, time.Now().Add(-minSilence))
	}
	d := g.suspect.Load()
	if d == nil {
		t.Fatal("no suspicion")
	}
	g.trust()
	select {
	case <-d.over:
	default:
		t.Error("who waits is not told that the suspicion is over")
	}
	all.record(0, context.DeadlineExceeded, time.Now().Add(-minSilence))
	if g.suspect.Load() != nil {
		t.Error("suspect again after one silence")
	}
}

// A lost connection makes all lanes suspect. Who comes early waits, who comes late fails at once,
// also without a deadline.
func TestEnterWhileSuspect(t *testing.T) {
	t.Parallel()
	all := bare(t)
	all.suspectAll()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for lane := range all.lanes {
		g := &all.lanes[lane]
		d := g.suspect.Load()
		if d == nil {
			t.Fatalf("lane %d is not suspect", lane)
		}
		g.suspect.Store(&suspicion{time.Now().Add(time.Hour), d.over}) // however slow this machine is
		if err := g.enter(over); !errors.Is(err, context.Canceled) {
			t.Errorf("at first: %v", err)
		}
		g.suspect.Store(&suspicion{d.since.Add(-2 * suspicionGrace), d.over})
		if err := g.enter(over); err != errNoAnswer { //nolint:errorlint // itself
			t.Errorf("later: %v", err)
		}
		if n := g.inside.Load(); n != 0 {
			t.Errorf("%d are inside", n)
		}
	}
}

// Nobody enters beyond the places, and who gives up leaves none taken.
func TestPlaces(t *testing.T) {
	t.Parallel()
	g := &bulkhead{places: 2}
	g.room.Store(2)
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for i, want := range []error{nil, nil, context.Canceled, context.Canceled} {
		if err := g.enter(over); !errors.Is(err, want) {
			t.Errorf("entering as number %d: %v", i+1, err)
		}
	}
	g.leave()
	if err := g.enter(over); err != nil {
		t.Errorf("after one has left: %v", err)
	}
}
