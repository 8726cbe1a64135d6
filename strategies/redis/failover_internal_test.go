package redis

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"
)

// closing is a connection that only tells when it is closed.
type closing struct {
	net.Conn

	closed func()
}

func (c closing) Close() error { c.closed(); return nil }

var errReadOnly = &ServerError{Code: "READONLY"}

// oneMasterClient is a client whose writes end as written says.
func oneMasterClient(t *testing.T, written *atomic.Pointer[error]) *client {
	t.Helper()
	c := newClient(rueidis.ClientOption{}, 0, slog.New(slog.DiscardHandler))
	c.mode = Standalone
	c.failover.prove = func(context.Context) error {
		if err := written.Load(); err != nil {
			return *err
		}
		return nil
	}
	t.Cleanup(func() {
		if err := c.close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// lead makes a link to a server, and takes it into use.
func lead(t *testing.T, c *client, run string, closed func()) (*link, error) {
	t.Helper()
	number, err := c.countDial("address")
	if err != nil {
		return nil, err
	}
	l := &link{Conn: closing{closed: closed}, client: c, address: "address", number: number, run: run}
	return l, c.adopt(l)
}

// Where a server calls itself a master and refuses all writes, its connections are ended at once,
// after a second, and then less and less often; no hit is served meanwhile.
func TestPausesBetweenPurges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var refused atomic.Pointer[error]
		err := error(errReadOnly)
		refused.Store(&err)
		c := oneMasterClient(t, &refused)
		began := time.Now()
		var mu sync.Mutex
		var all []time.Duration
		soFar := func() []time.Duration {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(all)
		}
		var dial func()
		dial = func() {
			if _, err := lead(t, c, "a", func() {
				mu.Lock()
				all = append(all, time.Since(began))
				mu.Unlock()
				time.AfterFunc(time.Millisecond, dial) // as rueidis would, not while links are locked
			}); err != nil {
				t.Error(err)
			}
		}
		dial()
		for range 100 { // many operations at the same time
			_ = c.observe(errReadOnly) // it is given an error to note, and returns it
		}
		<-time.After(2 * time.Minute)
		purged := soFar()
		want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second, 31 * time.Second, 61 * time.Second, 91 * time.Second}
		if len(purged) != len(want) {
			t.Fatalf("ended at %v, want %v", purged, want)
		}
		for i, at := range purged {
			// Each may come a probe late, and all later ones with it.
			if at < want[i] || at > want[i]+time.Duration(i)*lastProbe {
				t.Errorf("number %d was at %v, want %v", i, at, want[i])
			}
		}
		if err := c.serving(t.Context()); !errors.Is(err, errWithheld) {
			t.Errorf("while writes are refused: %v", err)
		}
		refused.Store(nil)
		<-time.After(lastPurge + time.Second)
		if err := c.serving(t.Context()); err != nil {
			t.Errorf("when writes work again: %v", err)
		}
		// It is calm for long enough: the next time is the first one again.
		<-time.After(2 * lastPurge)
		purged = soFar()
		_ = c.observe(errReadOnly)
		if len(soFar()) != len(purged)+1 {
			t.Error("the next time, the connection is not ended at once")
		}
		if err := c.serving(t.Context()); err != nil {
			t.Errorf("writes work: %v", err)
		}
	})
}

// A link to another server ends the older ones. One that comes too soon after that is refused
// itself.
func TestLinksLeadToOneServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := oneMasterClient(t, new(atomic.Pointer[error]))
		var endedA, endedB atomic.Int64
		to := func(run string) error {
			_, err := lead(t, c, run, func() {
				map[string]*atomic.Int64{"a": &endedA, "b": &endedB}[run].Add(1)
			})
			return err
		}
		for range 3 {
			if err := to("a"); err != nil {
				t.Fatal(err)
			}
		}
		early, err := c.countDial("address") // a link that is being made, and will turn out to lead to the old one
		if err != nil {
			t.Fatal(err)
		}
		if err := to("b"); err != nil || endedA.Load() != 3 {
			t.Errorf("another server: %v, %d of 3 older connections ended", err, endedA.Load())
		}
		if err := c.adopt(&link{Conn: closing{closed: func() {}}, client: c, address: "address", number: early, run: "a"}); !errors.Is(err, errOutdated) {
			t.Errorf("a connection that was dialled before: %v", err)
		}
		if err := to("a"); !errors.Is(err, errElsewhere) || endedB.Load() != 0 {
			t.Errorf("back at once: %v, %d connections ended", err, endedB.Load())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if err := c.serving(ctx); err == nil {
			t.Error("hits are served while it is not settled where the address leads")
		}
		<-time.After(2 * time.Second) // the older ones are ended then, because they may be wrong
		if n := endedB.Load(); n != 1 {
			t.Errorf("a second later %d connections ended", n)
		}
		if err := to("a"); err != nil {
			t.Errorf("back later: %v", err)
		}
		synctest.Wait()
		if err := c.serving(t.Context()); err != nil {
			t.Errorf("when it is settled: %v", err)
		}
	})
}

// Where a server does not tell which one it is, one more connection to it makes hits wait until
// writes have worked: they find out whether the older ones still lead to a master.
func TestConnectionOfUnknownServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var refused atomic.Pointer[error]
		c := oneMasterClient(t, &refused)
		var ended atomic.Int64
		if _, err := lead(t, c, "", func() { ended.Add(1) }); err != nil {
			t.Fatal(err)
		}
		if err := c.serving(t.Context()); err != nil {
			t.Errorf("with the first connection: %v", err)
		}
		err := error(errReadOnly)
		refused.Store(&err)
		if _, err := lead(t, c, "", func() {}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.serving(ctx); err == nil {
			t.Error("hits are served, and writes do not work")
		}
		if ended.Load() != 1 {
			t.Error("the older connection, which leads to a replica, is not ended")
		}
		refused.Store(nil)
		<-time.After(lastPurge + time.Second)
		if err := c.serving(t.Context()); err != nil {
			t.Errorf("when writes work: %v", err)
		}
	})
}

// A server that was refused is left alone for 50 ms, then for longer, up to two seconds.
func TestRefusedServersAreLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := oneMasterClient(t, new(atomic.Pointer[error]))
		dialled := 0
		for range 10_000 { // a minute
			if _, err := c.countDial("address"); err == nil {
				dialled++
				if err := c.refuse(&link{address: "address"}, ErrReplica); !errors.Is(err, ErrReplica) {
					t.Fatal(err)
				}
			} else if !errors.Is(err, ErrReplica) {
				t.Fatal(err)
			}
			<-time.After(6 * time.Millisecond)
		}
		if dialled < 25 || dialled > 70 { // every one to two seconds, and some more at first
			t.Errorf("dialled %d times in a minute", dialled)
		}
		<-time.After(lastRetry)
		if _, err := lead(t, c, "a", func() {}); err != nil {
			t.Error(err)
		}
		if _, err := c.countDial("address"); err != nil {
			t.Errorf("after one that was good: %v", err)
		}
	})
}

// Whatever a server answers to HELLO, it is read or refused.
func FuzzGreeting(f *testing.F) {
	for _, seed := range []string{
		"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:6\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n",
		"-NOAUTH HELLO must be called with the client already authenticated\r\n", "!3\r\nERR\r\n", "*-1\r\n", "$-1\r\n", "%99999999\r\n", "*1\r\n*1\r\n*1\r\n", "_\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		r := greetings{Reader: bufio.NewReader(bytes.NewReader(answer))}
		value, err := r.next()
		if err != nil {
			return
		}
		if !bytes.HasPrefix(answer, r.raw) {
			t.Errorf("%q is no part of what came", r.raw)
		}
		for _, mode := range []string{Standalone, Sentinel, Cluster} {
			_ = newGreeting(value, nil).check(mode, false) // it must not panic
		}
		_, _, _ = helloEnd(answer) // likewise
	})
}
