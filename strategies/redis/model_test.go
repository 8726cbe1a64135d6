package redis_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// model is a load of which every answer can be judged. The value of a key is the version that the
// database had when it was read. A worker that owns a key commits a new version and revokes; once
// that is acknowledged, nobody may get an older one.
type model struct {
	*redis.Strategy
	t        *testing.T
	keys     []*versioned
	watching atomic.Pointer[window]
	stale    atomic.Int64
	hits     atomic.Int64
	fills    atomic.Int64
	revoked  atomic.Int64
}

type versioned struct {
	name, tag string
	lane      int
	database  atomic.Int64
	floor     atomic.Int64 // what the last acknowledged revocation had committed
}

// window counts what succeeds, from beginning to end, while it is the model's, with keys of some
// lanes.
type window struct {
	lanes                        map[int]bool
	deletes, invalidations, hits atomic.Int64
	tried                        atomic.Int64 // revocations, whatever became of them
}

const (
	modelLanes   = 4
	modelWorkers = 4
	modelKeys    = 32
)

// startModel starts the load. It ends, and is judged, with stop.
func startModel(t *testing.T, options redis.Options) (m *model, stop func()) {
	t.Helper()
	options.Lanes = modelLanes
	m = &model{Strategy: startAt(t, options), t: t}
	for i := range modelKeys {
		name := fmt.Sprint("n:k", i)
		m.keys = append(m.keys, &versioned{name: name, tag: fmt.Sprint("n:t", i), lane: laneOf(name, modelLanes)})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	for worker := range modelWorkers {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 1))
			for ctx.Err() == nil {
				own := m.keys[random.IntN(modelKeys/modelWorkers)*modelWorkers+worker]
				m.step(ctx, random.IntN(10), own, m.keys[random.IntN(modelKeys)])
			}
		})
	}
	return m, sync.OnceFunc(func() {
		cancel()
		workers.Wait()
		for _, k := range m.keys {
			m.read(t.Context(), k, func() ([]byte, bool, error) { return m.Get(t.Context(), k.name) })
		}
		t.Logf("%d hits, %d fills, %d acknowledged revocations", m.hits.Load(), m.fills.Load(), m.revoked.Load())
		if n := m.stale.Load(); n > 0 {
			t.Errorf("%d reads returned what was revoked", n)
		}
		if m.hits.Load() == 0 || m.fills.Load() == 0 || m.revoked.Load() == 0 {
			t.Error("nothing happened")
		}
	})
}

func (m *model) step(ctx context.Context, kind int, own, other *versioned) {
	opts := func(k *versioned) driver.SetOptions {
		return driver.SetOptions{TTL: time.Hour, Tags: []string{k.tag}}
	}
	version := func(k *versioned) []byte { return strconv.AppendInt(nil, k.database.Load(), 10) }
	switch kind {
	case 0, 1, 2:
		m.read(ctx, other, func() ([]byte, bool, error) { return m.Get(ctx, other.name) })
	case 3, 4:
		m.read(ctx, other, func() ([]byte, bool, error) { return m.GetHinted(ctx, other.name, []string{other.tag}) })
	case 5, 6:
		m.read(ctx, other, func() ([]byte, bool, error) {
			value, found, lease, err := m.GetOrLease(ctx, other.name)
			if lease != nil {
				stored, err := m.Fill(ctx, lease, version(other), opts(other))
				m.judge(ctx, "Fill", err)
				if stored {
					m.fills.Add(1)
				}
			}
			return value, found, err
		})
	case 7:
		m.judge(ctx, "Set", m.Set(ctx, own.name, version(own), opts(own)))
	case 8:
		m.revoke(ctx, "Delete", own, func() error { return m.Delete(ctx, own.name) }, func(w *window) *atomic.Int64 { return &w.deletes })
	case 9:
		m.revoke(ctx, "InvalidateTags", own, func() error { return m.InvalidateTags(ctx, own.tag) },
			func(w *window) *atomic.Int64 { return &w.invalidations })
	}
}

func (m *model) read(ctx context.Context, k *versioned, get func() ([]byte, bool, error)) {
	floor, w := k.floor.Load(), m.watching.Load()
	value, found, err := get()
	m.judge(ctx, "a read", err)
	if !found {
		return
	}
	m.hits.Add(1)
	m.count(w, k, func(w *window) *atomic.Int64 { return &w.hits })
	if version, err := strconv.ParseInt(string(value), 10, 64); err != nil || version < floor {
		m.stale.Add(1)
		m.t.Logf("%s (lane %d) has the value %q, older than %d, whose revocation was acknowledged", k.name, k.lane, value, floor)
	}
}

func (m *model) revoke(ctx context.Context, what string, k *versioned, revoke func() error, of func(*window) *atomic.Int64) {
	w, committed := m.watching.Load(), k.database.Add(1)
	err := revoke()
	m.count(w, k, func(w *window) *atomic.Int64 { return &w.tried })
	m.judge(ctx, what, err)
	if err == nil {
		k.floor.Store(committed)
		m.revoked.Add(1)
		m.count(w, k, of)
	}
}

func (m *model) count(w *window, k *versioned, of func(*window) *atomic.Int64) {
	if w != nil && w.lanes[k.lane] && m.watching.Load() == w {
		of(w).Add(1)
	}
}

// judge accepts errors that say what they are.
func (m *model) judge(ctx context.Context, what string, err error) {
	switch {
	case err == nil, ctx.Err() != nil:
	case errors.Is(err, driver.ErrUnavailable), errors.Is(err, driver.ErrNotReplicated), errors.Is(err, context.DeadlineExceeded):
	default:
		m.t.Errorf("%s: %v", what, err)
	}
}

// watch begins to count in these lanes.
func (m *model) watch(lanes ...int) *window {
	w := &window{lanes: map[int]bool{}}
	for _, lane := range lanes {
		w.lanes[lane] = true
	}
	m.watching.Store(w)
	return w
}

// atLeast waits until so many deletions, and as many invalidations, have succeeded in the window.
func (w *window) atLeast(t *testing.T, n int64) {
	t.Helper()
	until(t, func() error {
		if d, i := w.deletes.Load(), w.invalidations.Load(); d < n || i < n {
			return fmt.Errorf("%d deletions and %d invalidations succeeded, want %d each", d, i, n)
		}
		return nil
	})
}

// deafen keeps a master's replicas from hearing what it does, until it is gone, and lets the load
// go on for some revocations in its lanes. None of them must be acknowledged: they are lost with
// the master.
func (m *model) deafen(master *redistest.Server, lanes ...int) {
	m.t.Helper()
	deafen(m.t, master)
	w := m.watch(lanes...)
	until(m.t, func() error {
		if n := w.tried.Load(); n < 3 {
			return fmt.Errorf("%d revocations were tried", n)
		}
		return nil
	})
}

func deafen(t *testing.T, master *redistest.Server) {
	t.Helper()
	for _, command := range [][]any{{"ACL", "SETUSER", redistest.ReplicationUser, "off"}, {"CLIENT", "KILL", "TYPE", "replica"}} {
		if _, err := master.Do(t.Context(), command...); err != nil {
			t.Fatal(err)
		}
	}
}

// works checks that everything does, in every lane.
func (m *model) works() {
	m.t.Helper()
	ctx := m.t.Context()
	for _, k := range m.keys {
		found := func() (string, bool) {
			value, found, err := m.Get(ctx, k.name)
			if err != nil {
				m.t.Errorf("Get in lane %d: %v", k.lane, err)
			}
			return string(value), found
		}
		for what, revoke := range map[string]func() error{
			"Delete":         func() error { return m.Delete(ctx, k.name) },
			"InvalidateTags": func() error { return m.InvalidateTags(ctx, k.tag) },
		} {
			if err := m.Set(ctx, k.name, []byte(what), driver.SetOptions{TTL: time.Hour, Tags: []string{k.tag}}); err != nil {
				m.t.Errorf("Set in lane %d: %v", k.lane, err)
			}
			if value, ok := found(); !ok || value != what {
				m.t.Errorf("lane %d: %q, %t; want %q", k.lane, value, ok, what)
			}
			if err := revoke(); err != nil {
				m.t.Errorf("%s in lane %d: %v", what, k.lane, err)
			}
			if value, ok := found(); ok {
				m.t.Errorf("lane %d: %q is found after %s", k.lane, value, what)
			}
		}
	}
}

// laneOf returns the lane of a key.
func laneOf(key string, lanes int) int {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(key)) // never fails
	return int(hash.Sum64() % uint64(lanes))
}

// lanesOf returns the lanes whose slots a node owns.
func lanesOf(cluster *redistest.Cluster, node *redistest.Server) (lanes []int) {
	for lane := range modelLanes {
		if cluster.NodeForSlot(cluster.SlotOf(fmt.Sprintf("{%d}", lane))) == node {
			lanes = append(lanes, lane)
		}
	}
	return lanes
}
