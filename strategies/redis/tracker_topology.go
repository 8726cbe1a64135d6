package redis

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/internal/backoff"
)

const (
	// lookEvery is the pause between two looks at the topology, and lookSoon the shortest one.
	lookEvery = 10 * time.Second
	lookSoon  = 100 * time.Millisecond
	// firstRefused and lastRefused bound the pauses after tracking was refused: somebody has to
	// change something on the server first.
	firstRefused = time.Second
	lastRefused  = time.Minute
	// idleAfter is how long nobody must have asked for anything for heartbeats to cease.
	idleAfter = time.Second
)

// keeper keeps one feed to one master, for as long as that is one.
type keeper struct {
	address string
	end     context.CancelFunc
	lanes   atomic.Pointer[[]int] // whose keys are there
	feed    *feed                 // guarded by the Tracker's mu; nil while there is none
}

// watch looks at the topology, from time to time and when a feed says that it has changed.
func (t *Tracker) watch(life context.Context) {
	for life.Err() == nil {
		pause := lookEvery
		if err := t.look(life); err != nil {
			pause = lastProbe
		}
		rest(life, lookSoon)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-t.again:
		case <-life.Done():
		}
		timer.Stop()
	}
}

// lookAgain has the topology looked at soon.
func (t *Tracker) lookAgain() {
	select {
	case t.again <- struct{}{}:
	default:
	}
}

// look finds out which master has which lanes, and keeps a feed to each master.
func (t *Tracker) look(life context.Context) error {
	var masters []string
	err := protect(func() (err error) {
		conn, err := t.store.client.use()
		if err == nil {
			masters, err = t.store.client.mastersOf(life, conn, t.store.keys)
		}
		return err
	})
	if err != nil {
		return err
	}
	t.assign(masters)
	return nil
}

// assign gives each lane the feed to its master. masters has the address of each lane's; it is
// empty if a lane has none now.
func (t *Tracker) assign(masters []string) {
	lanes := make(map[string][]int)
	for lane, address := range masters {
		if address != "" {
			lanes[address] = append(lanes[address], lane)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for address, k := range t.keepers {
		if lanes[address] == nil {
			k.end()
			delete(t.keepers, address)
		}
	}
	for address, here := range lanes {
		k := t.keepers[address]
		if k == nil {
			k = &keeper{address: address}
			var life context.Context
			life, k.end = context.WithCancel(t.life)
			k.lanes.Store(&here)
			if !t.run(func(context.Context) { t.keep(life, k) }) {
				k.end()
				return
			}
			t.keepers[address] = k
		}
		k.lanes.Store(&here)
	}
	for lane, address := range masters {
		if k := t.keepers[address]; k != nil {
			t.lanes[lane].Store(k.feed)
		} else {
			t.lanes[lane].Store(nil)
		}
	}
}

// attach lets the lanes of k be read over f.
func (t *Tracker) attach(k *keeper, f *feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.announced.Store(true)
	if f.over.Load() || t.keepers[k.address] != k { // in which case the Listener need not hear of it
		return
	}
	k.feed = f
	for _, lane := range *k.lanes.Load() {
		t.lanes[lane].Store(f)
	}
}

// detach undoes attach.
func (t *Tracker) detach(k *keeper, f *feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.feed == f {
		k.feed = nil
	}
	for lane := range t.lanes {
		t.lanes[lane].CompareAndSwap(f, nil)
	}
}

// keep makes one feed after another until life ends.
func (t *Tracker) keep(life context.Context, k *keeper) {
	pauses := backoff.Backoff{First: firstRetry, Last: lastRetry, Jitter: true}
	refused := backoff.Backoff{First: firstRefused, Last: lastRefused, Jitter: true}
	for life.Err() == nil {
		worked, err := t.feedOnce(life, k)
		if worked {
			pauses.Reset()
			refused.Reset()
		}
		t.lookAgain()
		wait := &pauses
		if refusal := new(refusedError); errors.As(err, &refusal) && life.Err() == nil {
			t.refused.add(refusal)
			wait = &refused
		}
		wait.Wait(life)
	}
}

// feedOnce makes a feed and returns when it has ended. worked says that it was of use.
func (t *Tracker) feedOnce(life context.Context, k *keeper) (worked bool, err error) {
	f, err := openFeed(life, t, k)
	if err != nil {
		return false, err
	}
	defer f.close()
	defer t.detach(k, f)
	t.attach(k, f)
	f.flying.Add(1)
	f.beat(life)
	select {
	case <-f.accepted:
	case <-f.ended:
		return false, f.reason()
	case <-life.Done():
		return false, life.Err()
	}
	if err := f.prove(life); err != nil {
		return false, err
	}
	t.refused.remove()
	select {
	case <-f.ended:
	case <-life.Done():
	}
	return true, f.reason()
}

// pulse sends heartbeats while somebody asks. It also gives each feed more or less room.
func (t *Tracker) pulse(life context.Context) {
	for quiet := time.Duration(0); life.Err() == nil; {
		interval := t.interval()
		if quiet += interval; t.used.Swap(false) {
			quiet = 0
		} else if quiet >= idleAfter {
			quiet = 0
			if !t.sleep(life) {
				return
			}
		}
		for _, f := range t.feeds() {
			if f.flying.Load() > 0 { // the last one is late
				f.adapt(true)
			}
			if f.flying.Load() < maxFlying {
				f.flying.Add(1)
				t.run(f.beat)
			}
		}
		rest(life, interval)
	}
}

// interval is the time between two heartbeats.
func (t *Tracker) interval() time.Duration {
	lag := t.options.Lag
	if agreed := t.agreed.Load(); agreed != nil && agreed.lag > 0 {
		lag = agreed.lag
	}
	return max(lag/3, minLag/3)
}

// sleep returns when somebody asks, or false when life ends.
func (t *Tracker) sleep(life context.Context) bool {
	t.asleep.Store(true)
	defer t.asleep.Store(false)
	if t.used.Load() { // before asleep was set, so nobody would wake it
		return true
	}
	select {
	case <-t.wake:
		return true
	case <-life.Done():
		return false
	}
}

// feeds returns the feeds that there are now.
func (t *Tracker) feeds() (all []*feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.keepers {
		if k.feed != nil {
			all = append(all, k.feed)
		}
	}
	return all
}
