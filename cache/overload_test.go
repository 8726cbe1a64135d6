package cache_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// busy is a storage behind a network, which does one operation after the other. It also does the
// operations of callers that left at a deadline.
type busy struct {
	table

	each time.Duration // for one operation

	mu    sync.Mutex
	way   time.Duration // over the network, there and back
	free  time.Time     // when all operations that have arrived are done
	hangs chan struct{} // until closed; nil: it does not
	asked int
	most  int // under way at a time
	now   int
}

func (s *busy) Get(ctx context.Context, _ string) ([]byte, bool, error) {
	s.mu.Lock()
	s.asked++
	s.now++
	s.most = max(s.most, s.now)
	if now := time.Now(); s.free.Before(now) {
		s.free = now
	}
	s.free = s.free.Add(s.each)
	done, hangs := s.free.Add(s.way), s.hangs
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	if hangs != nil {
		select {
		case <-hangs:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	answer := time.NewTimer(time.Until(done))
	defer answer.Stop()
	select {
	case <-answer.C:
		return nil, false, nil
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// change changes the storage at once.
func (s *busy) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// hang stops the storage, or lets it go on.
func (s *busy) hang() (resume func()) {
	hangs := make(chan struct{})
	s.change(func() { s.hangs = hangs })
	return func() {
		s.change(func() { s.hangs = nil })
		close(hangs)
	}
}

// crowd is a number of callers that read all the time.
type crowd struct {
	ok, failed atomic.Int64
	mu         sync.Mutex
	longest    time.Duration
	cancel     context.CancelFunc
	all        sync.WaitGroup
}

func newCrowd(t *testing.T, callers int, get func(context.Context) error) *crowd {
	c := new(crowd)
	ctx, cancel := context.WithCancel(t.Context())
	c.cancel = cancel
	for range callers {
		c.all.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				err := get(ctx)
				took := time.Since(began)
				if err == nil {
					c.ok.Add(1)
					continue
				}
				c.failed.Add(1)
				c.mu.Lock()
				c.longest = max(c.longest, took)
				c.mu.Unlock()
				<-time.After(10 * time.Millisecond)
			}
		})
	}
	return c
}

// during returns the outcomes of the crowd's reads within d.
func (c *crowd) during(d time.Duration) (ok, failed int64) {
	ok, failed = c.ok.Load(), c.failed.Load()
	<-time.After(d)
	return c.ok.Load() - ok, c.failed.Load() - failed
}

// slowest returns the duration of the slowest call that failed.
func (c *crowd) slowest() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.longest
}

func (c *crowd) stop() {
	c.cancel()
	c.all.Wait()
}

const (
	callers = 200
	each    = 150 * time.Microsecond // so that all callers together are served in 30 ms
	limit   = 50 * time.Millisecond
)

func newBusy() *busy { return &busy{each: each} }

func reading(service *cache.Service) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := service.Get(ctx, "k", new(int))
		return err
	}
}

// A storage that becomes slower and is as busy as it can be has not failed.
func TestSlowIsNotDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var bare, ours int64
		for _, through := range []bool{false, true} {
			storage := newBusy()
			service := start(t, storage, cache.Options{Timeout: limit})
			get := reading(service)
			if !through {
				get = func(ctx context.Context) error {
					ctx, cancel := context.WithTimeout(ctx, limit)
					defer cancel()
					_, _, err := storage.Get(ctx, "k")
					return err
				}
			}
			c := newCrowd(t, callers, get)
			_, _ = c.during(200 * time.Millisecond)
			storage.change(func() { storage.way = 15 * time.Millisecond })
			ok, _ := c.during(time.Second)
			storage.change(func() { storage.way = 0 })
			_, _ = c.during(100 * time.Millisecond)
			if _, failed := c.during(200 * time.Millisecond); failed > 0 {
				t.Errorf("through the Service %t: %d fail after it", through, failed)
			}
			c.stop()
			if !through {
				bare = ok
				continue
			}
			if ours = ok; 10*ours < 8*bare {
				t.Errorf("%d reads succeed, and %d without the Service", ours, bare)
			}
			if n := service.Stats().ShortCircuited; n > 0 {
				t.Errorf("%d reads were not tried", n)
			}
		}
	})
}

// If the process or the storage stops for a moment, all operations under way fail together. That
// does not open the breaker, however many they are.
func TestPauseIsNoOutage(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{80 * time.Millisecond, 400 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			storage := newBusy()
			service := start(t, storage, cache.Options{Timeout: limit})
			c := newCrowd(t, callers, reading(service))
			_, _ = c.during(200 * time.Millisecond)
			resume := storage.hang()
			_, failed := c.during(pause)
			resume()
			if failed < callers {
				t.Errorf("a pause of %v: only %d have failed", pause, failed)
			}
			_, _ = c.during(100 * time.Millisecond)
			if ok, failed := c.during(200 * time.Millisecond); ok == 0 || failed > 0 {
				t.Errorf("a pause of %v: %d succeed, %d fail afterwards", pause, ok, failed)
			}
			c.stop()
			if n := service.Stats().ShortCircuited; n > 0 {
				t.Errorf("a pause of %v: %d reads were not tried", pause, n)
			}
		})
	}
}

// A storage that hangs costs a call at most one timeout, and next to nothing after a dozen
// timeouts. When the storage goes on, callers are let in little by little, and within two seconds
// all reads succeed.
func TestHangIsAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		storage := newBusy()
		service := start(t, storage, cache.Options{Timeout: limit})
		c := newCrowd(t, callers, reading(service))
		normal, _ := c.during(500 * time.Millisecond)
		resume := storage.hang()
		_, _ = c.during(12 * limit)
		storage.change(func() { storage.asked = 0 })
		ok, failed := c.during(5 * time.Second)
		if ok > 0 || failed < 50*callers {
			t.Errorf("%d succeed, %d fail", ok, failed)
		}
		storage.change(func() {
			if storage.asked < 4 || storage.asked > 10 {
				t.Errorf("it was asked %d times in five seconds, want once a second, and a little more often at first", storage.asked)
			}
		})
		if d := c.slowest(); d > limit {
			t.Errorf("a call took %v", d)
		}
		resume()
		// If all callers came at once, the storage could not serve them all within a timeout.
		storage.change(func() { storage.way, storage.most = limit/2, 0 })
		for storage.reached() == 0 {
			_, _ = c.during(time.Millisecond)
		}
		for trip := 1; trip <= 4; trip++ { // each makes room for one more
			_, _ = c.during(limit/2 + time.Millisecond)
			if most := storage.reached(); most > 1<<trip {
				t.Errorf("%d are let in at a time after %d answers", most, trip)
			}
		}
		storage.change(func() { storage.way = 0 })
		_, _ = c.during(750 * time.Millisecond) // after up to 1.05 s
		if ok, failed := c.during(500 * time.Millisecond); 10*ok < 9*normal || failed > 0 {
			t.Errorf("%d succeed and %d fail afterwards, before it were %d", ok, failed, normal)
		}
		c.stop()
	})
}

func (s *busy) reached() (most int) {
	s.change(func() { most = s.most })
	return most
}

// The breaker opens if many operations fail over some time. It does not matter how many fail in a
// row.
func TestBreakerRatio(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		every int // one in so many operations succeeds
		opens bool
	}{{4, false}, {8, false}, {12, true}, {50, true}} {
		synctest.Test(t, func(t *testing.T) {
			service, recorder, _ := record(t, newBigcache(t), cache.Options{Timeout: limit, BreakerFailures: 10, BreakerPause: time.Minute})
			for i := range 200 {
				if i%(test.every+1) > 0 {
					recorder.FailNext("get", 1, errOutage)
				}
				_, _ = service.Get(t.Context(), "k", new(int))
				<-time.After(limit / 10)
			}
			recorder.Reset()
			if open := short(t, service); open != test.opens {
				t.Errorf("one of %d succeeds: open %t", test.every+1, open)
			}
		})
	}
}

// uneven answers each key in its own way.
type uneven struct {
	table

	get func(ctx context.Context, key string) error
}

func (s *uneven) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return nil, false, s.get(ctx, key)
}

// However many operations fail together, that counts as one moment. One more failure later does not
// open the breaker.
func TestBurstIsOneFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := start(t, &uneven{get: func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }}, cache.Options{Timeout: limit, BreakerPause: time.Hour})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { _ = reading(service)(t.Context()) })
		}
		all.Wait()
		for range 2 {
			<-time.After(time.Second)
			_ = reading(service)(t.Context())
		}
		if n := service.Stats().ShortCircuited; n > 0 {
			t.Errorf("%d reads were not tried", n)
		}
	})
}

// The more operations are under way, the more have to fail. Operations that were not started do not
// count as failures.
func TestBreakerScales(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const under, wanted = 100, 25 // a quarter
		storage := &uneven{get: func(_ context.Context, key string) error {
			if key == "app::failing" {
				return errOutage
			}
			<-time.After(900 * time.Millisecond)
			return cache.ErrOverloaded
		}}
		service := start(t, storage, cache.Options{Timeout: time.Second, BreakerFailures: 10, BreakerPause: time.Hour})
		c := newCrowd(t, under, reading(service))
		defer c.stop()
		for n := range 2 * wanted {
			<-time.After(500 * time.Millisecond)
			_, err := service.Get(t.Context(), "failing", new(int))
			if stopped := service.Stats().ShortCircuited > 0; stopped && n < wanted || !stopped && n > wanted+2 {
				t.Fatalf("failure %d: %v, stopped %t", n, err, stopped)
			}
		}
	})
}

// If the first operation after the pause fails at its deadline, the storage still fails. If it
// learns of its deadline much later, this process was busy, and the next operation tries the
// storage.
func TestBusyProcessIsNoOutage(t *testing.T) {
	t.Parallel()
	for _, busy := range []time.Duration{0, limit} {
		synctest.Test(t, func(t *testing.T) {
			const pause = 16 * time.Second // at first a sixteenth
			var asked atomic.Int64
			storage := &uneven{get: func(ctx context.Context, _ string) error {
				if asked.Add(1) > 2 {
					return nil
				}
				<-ctx.Done()
				if asked.Load() == 2 { // the one after the pause
					<-time.After(busy)
				}
				return ctx.Err()
			}}
			service := start(t, storage, cache.Options{Timeout: limit, BreakerFailures: 1, BreakerPause: pause})
			storageFails := reading(service)
			_ = storageFails(t.Context()) // opens nothing yet
			asked.Store(0)
			<-time.After(10 * limit)
			_ = storageFails(t.Context()) // opens it
			<-time.After(time.Second + time.Millisecond)
			first := async(func() (int, error) { return 0, storageFails(t.Context()) })
			synctest.Wait()
			<-time.After(limit + busy - limit/4)
			second := async(func() (int, error) { return 0, storageFails(t.Context()) })
			if got := <-first; got.err == nil {
				t.Error("the first one got an answer")
			}
			if got := <-second; (got.err == nil) != (busy > 0) {
				t.Errorf("busy for %v: the next one got %v", busy, got.err)
			}
		})
	}
}
