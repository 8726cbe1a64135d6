package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/noop"
)

// parking holds goroutines of a schedule at chosen points.
type parking struct {
	mu     sync.Mutex
	parked []chan struct{}
}

// park blocks the caller until a step of the schedule lets it go on.
func (p *parking) park() {
	gate := make(chan struct{})
	p.mu.Lock()
	p.parked = append(p.parked, gate)
	p.mu.Unlock()
	<-gate
}

// leave lets one parked goroutine go on, and reports whether there was one.
func (p *parking) leave(random *rand.Rand) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.parked)
	if n == 0 {
		return false
	}
	i := random.IntN(n)
	close(p.parked[i])
	p.parked = slices.Delete(p.parked, i, i+1)
	return true
}

// schedule is one random interleaving of operations on one key. The row's version only grows. floor
// is the oldest version that may be served after the latest finished invalidation.
type schedule struct {
	t       *testing.T
	id      string
	service *cache.Service
	nodes   []*cache.Cache[int64] // each with its own flights, over the same entries
	random  *rand.Rand
	parking parking
	row     atomic.Int64
	floor   atomic.Int64
	running sync.WaitGroup
}

func (s *schedule) key() string { return s.id }

func (s *schedule) load(context.Context) (int64, error) {
	version := s.row.Load()
	s.parking.park()
	return version, nil
}

// check reports a value that is older than its call may return.
func (s *schedule) check(what string, got, floor int64) {
	if got < floor {
		s.t.Errorf("schedule %s: %s returned version %d, but %d was invalidated before it began", s.id, what, got, floor)
	}
}

func (s *schedule) get(c *cache.Cache[int64]) {
	floor := s.floor.Load()
	got, found, err := c.Get(context.Background(), s.key())
	if err != nil {
		s.t.Errorf("schedule %s: %v", s.id, err)
	}
	if found {
		s.check("Get", got, floor)
	}
}

func (s *schedule) getOrLoad(c *cache.Cache[int64]) {
	floor := s.floor.Load()
	ctx, cancel := context.WithCancel(context.Background())
	if s.random.IntN(8) == 0 {
		s.running.Go(func() { s.parking.park(); cancel() })
	}
	s.running.Go(func() {
		defer cancel()
		got, err := c.GetOrLoad(ctx, s.key(), s.load)
		if err == nil {
			s.check("GetOrLoad", got, floor)
		} else if !errors.Is(err, context.Canceled) {
			s.t.Errorf("schedule %s: %v", s.id, err)
		}
	})
	synctest.Wait()
}

// write commits a new version, and then invalidates the entry in one of the ways.
func (s *schedule) write(c *cache.Cache[int64], how int) {
	s.running.Go(func() {
		version := s.row.Add(1)
		s.parking.park()
		ctx := context.Background()
		var err error
		switch how {
		case 0:
			err = c.Delete(ctx, s.key())
		case 1:
			err = c.InvalidateTags(ctx, "static:"+s.id)
		case 2:
			err = c.InvalidateTags(ctx, "learned:"+s.id)
		case 3:
			err = s.service.Clear(ctx)
		}
		if err != nil {
			s.t.Errorf("schedule %s: %v", s.id, err)
			return
		}
		raise(&s.floor, version)
	})
}

// update writes through Update.
func (s *schedule) update(c *cache.Cache[int64]) {
	s.running.Go(func() {
		var version int64
		_, err := c.Update(context.Background(), s.key(), func(context.Context) (int64, error) {
			s.parking.park()
			version = s.row.Add(1)
			s.parking.park()
			return version, nil
		})
		if err != nil {
			s.t.Errorf("schedule %s: %v", s.id, err)
			return
		}
		raise(&s.floor, version)
	})
}

// raise sets floor to at least version.
func raise(floor *atomic.Int64, version int64) {
	for {
		old := floor.Load()
		if old >= version || floor.CompareAndSwap(old, version) {
			return
		}
	}
}

func (s *schedule) run(steps int, updates bool) {
	s.row.Store(1)
	for range steps {
		c := s.nodes[s.random.IntN(len(s.nodes))]
		switch n := s.random.IntN(20); {
		case n < 5:
			s.getOrLoad(c)
		case n < 8 && updates:
			s.update(c)
		case n < 8:
			s.write(c, s.random.IntN(4))
		case n < 9:
			s.write(c, 0)
		case n < 11:
			s.get(c)
		case n < 12:
			// beyond lock_wait, sometimes
			<-time.After(time.Duration(s.random.IntN(3)) * time.Second)
		default:
			s.parking.leave(s.random)
		}
		synctest.Wait()
	}
	for s.parking.leave(s.random) || !s.done() {
		synctest.Wait()
	}
	for _, c := range s.nodes {
		s.get(c)
		if got, found, _ := c.Get(context.Background(), s.key()); found && got != s.row.Load() {
			s.t.Errorf("schedule %s: at the end version %d is cached, and %d in the database", s.id, got, s.row.Load())
		}
	}
}

// done lets time pass for the callers that wait for a lease, until all are done or parked.
func (s *schedule) done() bool {
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(time.Hour):
		// Another goroutine was parked meanwhile.
		for s.parking.leave(s.random) {
			synctest.Wait()
		}
		<-done
		return true
	}
}

// parkingFill holds Fills, before and after.
type parkingFill struct {
	afterFill
	before func()
}

func (s *parkingFill) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts cache.SetOptions) (bool, error) {
	s.before()
	return s.afterFill.Fill(ctx, lease, value, opts)
}

// G1, V3: 10,000 random schedules of held loads, writers that commit and invalidate, Updates and
// readers. A value from before a finished invalidation is never returned.
func TestRandomSchedules(t *testing.T) {
	t.Parallel()
	const schedules, perBubble = 10_000, 500
	seed := rand.Uint64()
	for _, kind := range kinds {
		for _, updates := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/updates=%v", kind.name, updates), func(t *testing.T) {
				t.Parallel()
				count := schedules
				if kind.name == "noop" || testing.Short() {
					count = perBubble
				}
				for first := 0; first < count && !t.Failed(); first += perBubble {
					synctest.Test(t, func(t *testing.T) {
						bubble(t, kind.make(t), seed, first, perBubble, updates)
					})
				}
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			})
		}
	}
}

func bubble(t *testing.T, strategy driver.Strategy, seed uint64, first, count int, updates bool) {
	var current atomic.Pointer[schedule]
	if leaser := driver.FeaturesOf(strategy).Leaser; leaser != nil && strategy != (noop.Strategy{}) {
		maybe := func() {
			if s := current.Load(); s != nil && runtimeCoin(s) {
				s.parking.park()
			}
		}
		strategy = &parkingFill{afterFill{leaser, maybe}, maybe}
	}
	service := start(t, strategy, cache.Options{LockWait: time.Second})
	var nodes []*cache.Cache[int64]
	policy := cache.Policy[int64]{TagsOf: func(int64) []string { return []string{"learned:" + current.Load().id} }}
	for i := range count {
		random := rand.New(rand.NewPCG(seed, uint64(first+i)))
		id := fmt.Sprint(first + i)
		policy.Tags = []string{"static:" + id}
		nodes = nodes[:0]
		for range 1 + random.IntN(2) {
			// each policy needs its own name
			nodes = append(nodes, newCache(t, service, "c"+id, policy))
		}
		s := &schedule{t: t, id: id, service: service, nodes: nodes, random: random}
		current.Store(s)
		s.run(12+random.IntN(25), updates)
	}
}

// runtimeCoin does not use the schedule's random numbers, which belong to another goroutine.
func runtimeCoin(s *schedule) bool {
	return (s.row.Load()+int64(len(s.id)))%2 == 0 || rand.IntN(2) == 0
}

// The same rules hold under real concurrency, with windows as narrow as in production.
func TestRacesWithRealThreads(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			service := start(t, kind.make(t), cache.Options{LockWait: 20 * time.Millisecond, MaxTags: 8, Timeout: time.Minute})
			c := newCache(t, service, "c", cache.Policy[int64]{
				Tags: []string{"static"}, TagsOf: func(int64) []string { return []string{"learned"} },
			})
			var row, floor atomic.Int64
			ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
			defer stop()
			load := func(context.Context) (int64, error) {
				v := row.Load()
				for range v % 7 {
					runtime.Gosched()
				}
				return v, nil
			}
			var workers sync.WaitGroup
			for worker := range 8 {
				workers.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						before := floor.Load()
						got, err := c.GetOrLoad(t.Context(), "k", load)
						if err != nil || got < before {
							t.Errorf("GetOrLoad = %d, %v; %d was invalidated before", got, err, before)
							return
						}
						if worker > 1 || i%5 != 0 {
							continue
						}
						version := row.Add(1)
						if worker == 1 {
							version, err = c.Update(t.Context(), "k", func(context.Context) (int64, error) { return row.Add(1), nil })
						} else {
							err = revokeSomehow(t.Context(), service, c, i/5)
						}
						if err != nil {
							t.Error(err)
							return
						}
						raise(&floor, version)
					}
				})
			}
			workers.Wait()
		})
	}
}

func revokeSomehow(ctx context.Context, service *cache.Service, c *cache.Cache[int64], n int) error {
	switch n % 4 {
	case 0:
		return c.Delete(ctx, "k")
	case 1:
		return c.InvalidateTags(ctx, "static")
	case 2:
		return c.InvalidateTags(ctx, "other", "learned")
	default:
		return service.Clear(ctx)
	}
}
