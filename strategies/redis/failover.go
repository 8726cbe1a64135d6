package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/backoff"
)

// An address may come to lead to another server, because a load balancer, a Kubernetes service or a
// managed endpoint moves. The old server may live on, with our connections. It would then go on
// serving what is revoked on the new one. So all connections must lead to one server, and that must
// be the master:
//   - Each new connection is checked, see link. A replica is refused.
//   - A connection that leads to another server than the older ones ends these.
//   - An answer that only a replica gives ends all connections that were dialled before it.
//
// After either of the last two, no hit is served until writes have worked. A Cluster needs none of
// this: its nodes redirect what is not their own.

const (
	// firstPurge and lastPurge bound the pause before all connections are ended once more.
	firstPurge = time.Second
	lastPurge  = 30 * time.Second
	// writesPerProof is how many writes must work. rueidis picks a connection for each of them.
	writesPerProof = 16
)

var (
	errWithheld  = fmt.Errorf("%w: it may not be the master, and no write has worked since", driver.ErrUnavailable)
	errElsewhere = fmt.Errorf("%w: a new connection leads to another server than the older ones", driver.ErrUnavailable)
	errOutdated  = fmt.Errorf("%w: the connection was dialled before the server turned out not to be the master", driver.ErrUnavailable)
)

// failover is what a client knows of the servers that it was led to.
type failover struct {
	// prove writes something, several times. It is set before start.
	prove func(context.Context) error
	// withheld is not nil while no hits may be served.
	withheld   atomic.Pointer[suspicion]
	suspicions atomic.Uint64

	mu      sync.Mutex
	dialled uint64             // how many connections were dialled
	ended   uint64             // no connection up to this number may be used any more
	links   map[*link]struct{} // those in use
	due     bool               // all connections dialled so far must be ended
	pause   time.Duration      // they are not ended again before next, which is pause after the last time
	next    time.Time
	refused map[string]*refusedServer // by address
	unsure  sync.Once
}

// refusedServer is left alone for a while.
type refusedServer struct {
	pauses backoff.Backoff
	until  time.Time
	err    error
}

// oneMaster reports whether all connections to data must lead to the same server.
func (c *client) oneMaster() bool { return c.mode == Standalone || c.mode == Sentinel }

// refuse records that the server at a link's address cannot be used, and returns err.
func (c *client) refuse(l *link, err error) error {
	c.failover.mu.Lock()
	defer c.failover.mu.Unlock()
	if isLasting(err) {
		c.failed(err)
	}
	return c.backOff(l.address, err)
}

// backOff keeps an address from being dialled for a while. The caller holds failover.mu.
func (c *client) backOff(address string, err error) error {
	b := c.failover.refused[address]
	if b == nil {
		b = &refusedServer{pauses: backoff.Backoff{First: firstRetry, Last: lastRetry, Jitter: true}}
		c.failover.refused[address] = b
	}
	b.until, b.err = time.Now().Add(b.pauses.Next()), err
	return err
}

// countDial returns the number of a connection that is about to be dialled, or an error if its
// address is to be left alone.
func (c *client) countDial(address string) (uint64, error) {
	c.failover.mu.Lock()
	defer c.failover.mu.Unlock()
	if b := c.failover.refused[address]; b != nil && time.Now().Before(b.until) {
		return 0, b.err
	}
	c.failover.dialled++
	return c.failover.dialled, nil
}

// adopt takes a link into use, or returns why it cannot be used.
func (c *client) adopt(l *link) error {
	f := &c.failover
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.sentinel { // it has no data
		delete(f.refused, l.address)
		return nil
	}
	if l.number <= f.ended {
		return errOutdated
	}
	if c.oneMaster() {
		moved, unsure := false, false
		for other := range f.links {
			unsure = unsure || l.run == "" || other.run == ""
			moved = moved || l.run != "" && other.run != "" && l.run != other.run
		}
		if moved {
			c.failed(errElsewhere)
			f.due = true
			c.withhold()
			if !f.purge(l) {
				return c.backOff(l.address, errElsewhere)
			}
		} else if unsure { // a write will tell whether the others still lead to the master
			f.unsure.Do(func() {
				c.logger.Warn("redis: the server does not tell its run_id; if an address moves, this is noticed later (see docs/redis.md)")
			})
			c.withhold()
		}
	}
	delete(f.refused, l.address)
	f.links[l] = struct{}{}
	l.adopted = true
	if c.ready.Load() != nil {
		c.dialled()
	}
	return nil
}

// forget removes a closed link.
func (c *client) forget(l *link) {
	c.failover.mu.Lock()
	delete(c.failover.links, l)
	adopted := l.adopted
	c.failover.mu.Unlock()
	if adopted && c.ready.Load() != nil && c.life.Err() == nil {
		c.lost()
	}
}

// purge ends all links but one, and those that are being made, if that is due. It returns false if
// it is too early for that.
func (f *failover) purge(but *link) bool {
	now := time.Now()
	switch {
	case !f.due:
		return true
	case now.Before(f.next):
		return false
	case now.Sub(f.next) > f.pause:
		f.pause = firstPurge
	default:
		f.pause = min(2*f.pause, lastPurge)
	}
	f.due, f.next, f.ended = false, now.Add(f.pause), f.dialled
	for l := range f.links {
		if l != but {
			l.cut()
			delete(f.links, l)
		}
	}
	return true
}

// isDemotion reports whether err is an answer that only a replica gives, or a master that becomes
// one.
func isDemotion(err error) bool {
	var answer *ServerError
	return errors.As(err, &answer) && (answer.Code == "READONLY" || answer.Code == "MASTERDOWN" || answer.Code == "UNBLOCKED")
}

// observeDemotion ends all connections if err is such an answer. It does nothing while hits are
// withheld: the answer may be to an earlier command, and settle finds out by itself.
func (c *client) observeDemotion(err error) {
	if !c.oneMaster() || !isDemotion(err) {
		return
	}
	if c.withhold() {
		c.failover.mu.Lock()
		c.failover.due = true
		c.failover.purge(nil)
		c.failover.mu.Unlock()
	}
}

// withhold keeps hits from being served until writes have worked. It returns false if they already
// were withheld.
func (c *client) withhold() bool {
	c.failover.suspicions.Add(1)
	if !c.failover.withheld.CompareAndSwap(nil, newSuspicion()) {
		return false
	}
	if !c.run(c.settle) {
		c.restore() // it is being closed
	}
	return true
}

// restore lets hits be served again.
func (c *client) restore() {
	if d := c.failover.withheld.Swap(nil); d != nil {
		close(d.over)
	}
}

// serving returns an error, perhaps after a moment, while hits are withheld.
func (c *client) serving(ctx context.Context) error {
	if d := c.failover.withheld.Load(); d != nil {
		return d.wait(ctx, errWithheld)
	}
	return nil
}

// settle writes until that works on whatever connections there are. If it does not work, it ends
// them.
func (c *client) settle(life context.Context) {
	defer c.restore()
	f := &c.failover
	for pauses := (backoff.Backoff{First: firstProbe, Last: lastProbe}); ; {
		seen := f.suspicions.Load()
		ctx, cancel := context.WithTimeout(life, replyTimeout)
		err := f.prove(ctx)
		cancel()
		f.mu.Lock()
		f.due = f.due || isDemotion(err) && !c.external
		settled := err == nil && !f.due && f.suspicions.Load() == seen
		f.purge(nil)
		f.mu.Unlock()
		if settled {
			return
		}
		if err != nil && life.Err() == nil {
			c.failed(err)
		}
		if !pauses.Wait(life) {
			return
		}
	}
}

// proveWritable deletes a key that hardly ever exists, on whatever connections rueidis picks.
func proveWritable(ctx context.Context, c *client, keys *keyspace) error {
	conn, err := c.use()
	if err != nil {
		return err
	}
	errs := make(chan error, writesPerProof)
	for range writesPerProof {
		go func() {
			errs <- typed(protect(func() error { return conn.Do(ctx, conn.B().Unlink().Key(keys.lanes[0].mark).Build()).Error() }))
		}()
	}
	var worst error
	for range writesPerProof {
		if err := <-errs; worst == nil || isDemotion(err) {
			worst = err
		}
	}
	return worst
}
