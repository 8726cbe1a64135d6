package redis_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// worker is loader, writer, reader and saboteur by turns.
type worker struct {
	*evicting
	id     int
	random *rand.Rand
	conn   *redistest.Conn
	loads  []load            // under way
	mine   [ownEntries]int64 // the versions of its own entries; 0: there is none
	denied bool              // the last write, for want of memory
}

type load struct {
	*row
	lease   *driver.Lease
	version int64
}

func (w *worker) run(ctx context.Context) {
	for step := range evictionSteps {
		if w.Failed() {
			return
		}
		w.steps.Add(1)
		if w.id == 0 && step == evictionSteps/3 {
			w.lose(ctx, "SCRIPT", "FLUSH")
		}
		if w.id == 1 && step == evictionSteps/2 {
			w.lose(ctx, "FLUSHALL")
		}
		r := w.rows[w.random.IntN(len(w.rows))]
		switch n := w.random.IntN(100); {
		case n < 22:
			w.begin(ctx, r)
		case n < 40:
			w.finish(ctx)
		case n < 62:
			w.read(ctx, r)
		case n < 69:
			w.write(ctx, r)
		case n < 72:
			w.sabotage(ctx, r)
		default:
			w.keep(ctx, int64(step+1))
		}
	}
	for len(w.loads) > 0 {
		w.finish(ctx)
	}
	for _, r := range w.rows {
		w.read(ctx, r)
	}
}

// begin asks for a lease, also on a key that is stored, and reads the row. The load ends in a later
// step.
func (w *worker) begin(ctx context.Context, r *row) {
	if len(w.loads) == leasesAtOnce {
		w.finish(ctx)
	}
	var lease *driver.Lease
	var err error
	if w.random.IntN(4) == 0 {
		lease, err = w.Lease(ctx, r.key)
	} else {
		var value []byte
		var found bool
		floor := r.floor.Load()
		if value, found, lease, err = w.GetOrLease(ctx, r.key); found {
			w.check("GetOrLease", r, value, floor)
		}
	}
	if !w.wrote("a lease", err) || lease == nil {
		return
	}
	w.loads = append(w.loads, load{r, lease, r.version.Load()})
}

// finish stores what one of the loads has read.
func (w *worker) finish(ctx context.Context) {
	if len(w.loads) == 0 {
		return
	}
	i := w.random.IntN(len(w.loads))
	l := w.loads[i]
	w.loads[i] = w.loads[len(w.loads)-1]
	w.loads = w.loads[:len(w.loads)-1]
	value := stamped(l.key, l.version, rowBytes)
	w.written.Add(int64(len(value)))
	stored, err := w.Fill(ctx, l.lease, value, driver.SetOptions{TTL: time.Minute, Tags: []string{l.group, l.owners[l.version%2]}})
	switch {
	case !w.wrote("Fill", err):
	case stored:
		w.stored.Add(1)
	default:
		w.refused.Add(1)
	}
}

// read looks a row up, with or without a hint, which may be wrong.
func (w *worker) read(ctx context.Context, r *row) {
	what, hits := "Get", &w.hits
	get := func() ([]byte, bool, error) { return w.Get(ctx, r.key) }
	if n := w.random.IntN(6); n < 3 {
		hint := [][]string{{r.group}, {r.group, r.owners[0]}, {r.owners[1], r.group, r.owners[0]}}[n]
		what, hits = "GetHinted", &w.hinted
		get = func() ([]byte, bool, error) { return w.GetHinted(ctx, r.key, hint) }
	}
	floor := r.floor.Load()
	value, found, err := get()
	if err != nil {
		w.Errorf("%s: %v", what, err)
	}
	if found {
		hits.Add(1)
		w.check(what, r, value, floor)
	}
}

// check reports what is not a value of the row, or older than it may be.
func (w *worker) check(what string, r *row, value []byte, floor int64) {
	if version := w.version(r.key, value, rowBytes); version < floor {
		w.Errorf("STALE after %d steps: %s returned version %d of %s, but all before %d were revoked before it began", w.steps.Load(), what, version, r.key, floor)
	}
}

// write commits new versions, then revokes the old ones, and only then says so.
func (w *worker) write(ctx context.Context, r *row) {
	rows := []*row{r}
	revoke := func() error { return w.Delete(ctx, r.key) }
	switch w.random.IntN(6) {
	case 0, 1:
		revoke = func() error { return w.InvalidateTags(ctx, r.owners...) }
	case 2:
		rows = r.peers
		revoke = func() error { return w.InvalidateTags(ctx, r.group) }
	case 3:
		rows = r.peers[:2]
		revoke = func() error { return w.Delete(ctx, rows[0].key, rows[1].key) }
	}
	versions := make([]int64, len(rows))
	for i, r := range rows {
		versions[i] = r.version.Add(1)
	}
	for range w.random.IntN(4) {
		runtime.Gosched()
	}
	if w.revoke(revoke) {
		for i, r := range rows {
			for floor := r.floor.Load(); floor < versions[i] && !r.floor.CompareAndSwap(floor, versions[i]); floor = r.floor.Load() {
				runtime.Gosched() // another writer was faster
			}
		}
	}
}

// revoke runs a revocation, none of which may fail.
func (w *worker) revoke(do func() error) bool {
	if err := do(); err != nil {
		w.Errorf("a revocation failed: %v", err)
		return false
	}
	w.revoked.Add(1)
	if w.denied {
		w.revokedWhileFull.Add(1)
	}
	return true
}

// keep works on an entry that no other worker touches: it holds what was written last, or nothing.
func (w *worker) keep(ctx context.Context, version int64) {
	i := w.random.IntN(ownEntries)
	key, tag := fmt.Sprintf("n:own%d.%d", w.id, i), fmt.Sprintf("n:worker%d.%d", w.id, i%4)
	switch n := w.random.IntN(40); {
	case n == 0:
		if w.revoke(func() error { return w.InvalidateTags(ctx, tag) }) {
			for other := i % 4; other < ownEntries; other += 4 {
				w.mine[other] = 0
			}
		}
	case n < 3:
		if w.revoke(func() error { return w.Delete(ctx, key) }) {
			w.mine[i] = 0
		}
	case n < 26:
		w.mine[i] = 0 // a Set that is refused must not leave the old value either
		w.written.Add(ownBytes)
		if w.wrote("Set", w.Set(ctx, key, stamped(key, version, ownBytes), driver.SetOptions{TTL: time.Minute, Tags: []string{tag}})) {
			w.mine[i] = version
		}
	}
	value, found, err := w.Get(ctx, key)
	if err != nil {
		w.Errorf("Get: %v", err)
	}
	if !found {
		return
	}
	w.own.Add(1)
	if got := w.version(key, value, ownBytes); got != w.mine[i] {
		w.Errorf("STALE after %d steps: Get returned version %d of %s, want version %d (0: none), or a miss", w.steps.Load(), got, key, w.mine[i])
	}
}

// wrote reports whether a write was done. It may be refused in one way only, and under one policy
// only.
func (w *worker) wrote(what string, err error) bool {
	w.denied = err != nil
	if err == nil {
		return true
	}
	var answer *redis.ServerError
	if !w.full || !errors.As(err, &answer) || answer.Code != "OOM" || !errors.Is(err, driver.ErrUnavailable) {
		w.Errorf("%s: %v", what, err)
	}
	w.outOfMemory.Add(1)
	return false
}

// sabotage removes metadata that eviction would take more rarely than values: it is small.
func (w *worker) sabotage(ctx context.Context, r *row) {
	switch n := w.random.IntN(8); {
	case n < 4:
		w.lostLeases.Add(w.lose(ctx, "DEL", "n:l:{0}:"+strings.TrimPrefix(r.key, "n:")))
	case n < 7:
		tag := append([]string{r.group}, r.owners...)[w.random.IntN(3)]
		w.lostNonces.Add(w.lose(ctx, "DEL", "n:t:{0}:"+strings.TrimPrefix(tag, "n:")))
	default:
		w.lostLedgers.Add(w.lose(ctx, "DEL", "n:g:{0}:"))
	}
}

// lose sends a command on a connection beside the strategy, and returns its number.
func (w *worker) lose(ctx context.Context, command ...any) int64 {
	reply, err := w.conn.Do(ctx, command...)
	if err != nil {
		w.Errorf("%v: %v", command, err)
	}
	n, _ := reply.(int64)
	return n
}

// stamped is a value of size bytes that says whose it is, and of which version.
func stamped(key string, version int64, size int) []byte {
	head := fmt.Sprintf("%s|%d|", key, version)
	return []byte(head + strings.Repeat(".", size-len(head)))
}

// version takes a value apart, which must be one of key.
func (w *worker) version(key string, value []byte, size int) int64 {
	parts := strings.SplitN(string(value), "|", 3)
	if len(parts) == 3 && parts[0] == key && len(value) == size {
		if version, err := strconv.ParseInt(parts[1], 10, 64); err == nil {
			return version
		}
	}
	w.Errorf("%s has a value of %d bytes that was never stored under it: %.40q", key, len(value), value)
	return 0
}
