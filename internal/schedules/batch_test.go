package schedules_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// V3, stale fill, with batches. A loader reads many rows at once. A writer commits some of them and
// revokes them. Then the loader stores what it read: the leases of all rows, in one batch.
//
// Promise (G1): as with single keys, for each key of each batch. A revoked row costs the others of
// its batch nothing but itself: no load fails.
//
// Model: some rows, each with a version that only grows, and the minVersion of each.
func TestStaleFillOfBatches(t *testing.T) {
	t.Parallel()
	playBatches(t, "stale-fill-of-batches", func(s *schedule) int { return s.random.IntN(ways) })
}

// Tags learned from the loaded values, with batches. A row's owner is known only once it is loaded.
// A writer changes all rows of an owner, and invalidates the owner's tag, before they are stored.
func TestLearnedTagOfBatches(t *testing.T) {
	t.Parallel()
	playBatches(t, "learned-tag-of-batches", func(*schedule) int { return wayLearned })
}

// wayLearned is the way to revoke by the learned tag.
const wayLearned = 2

// batchStorages are storages, and one that is a driver.BatchLeaser.
var batchStorages = append(slices.Clone(storages), struct {
	name string
	make func(t testing.TB) (strategy driver.Strategy, at func(*schedule))
}{"batches", func(t testing.TB) (driver.Strategy, func(*schedule)) {
	strategy := &heldBatches{held{Strategy: newBigcache(t)}}
	return strategy, func(s *schedule) { strategy.playing = &actor{s, "the batch"} }
}})

// heldBatches is held, with the leases of many keys in one operation. What happens to one key is
// not atomic with what happens to the next one.
type heldBatches struct{ held }

func (s *heldBatches) GetOrLeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	results := make([]driver.LeaseResult, len(keys))
	for i, key := range keys {
		r := &results[i]
		r.Value, r.Found, r.Lease, r.Err = s.GetOrLease(ctx, key)
	}
	return results
}

func (s *heldBatches) LeaseMany(ctx context.Context, keys []string) []driver.LeaseResult {
	results := make([]driver.LeaseResult, len(keys))
	for i, key := range keys {
		results[i].Lease, results[i].Err = s.Lease(ctx, key)
	}
	return results
}

func (s *heldBatches) ExtendMany(ctx context.Context, leases []*driver.Lease) []driver.HoldResult {
	results := make([]driver.HoldResult, len(leases))
	for i, lease := range leases {
		results[i].Held, results[i].Err = s.Extend(ctx, lease)
	}
	return results
}

func (s *heldBatches) FillMany(ctx context.Context, fills []driver.Fill) []driver.FillResult {
	results := make([]driver.FillResult, len(fills))
	for i, fill := range fills {
		s.playing.pause("is about to fill %d of %d", i+1, len(fills))
		results[i].Stored, results[i].Err = s.Strategy.Fill(ctx, fill.Lease, fill.Value, fill.Options)
	}
	s.playing.pause("has filled %d", len(fills))
	return results
}

func (s *heldBatches) ReleaseMany(ctx context.Context, leases []*driver.Lease) []error {
	failures := make([]error, len(leases))
	for i, lease := range leases {
		failures[i] = s.Release(ctx, lease)
	}
	return failures
}

// batchRows and batchOwners are how many rows there are in a schedule, and who owns them.
const (
	batchRows   = 5
	batchOwners = 2
)

// versioned is a value: one version of a row.
type versioned struct {
	Row     int
	Version int64
}

// batches are the rows of a schedule, and one single-flight over the storage.
type batches struct {
	*schedule
	cache   *cache.Cache[versioned]
	service *cache.Service
	rows    []*row
}

func (b batches) keyOf(row int) string { return fmt.Sprint(b.key(), "/", row) }

func (b batches) owner(row int) string { return fmt.Sprint("owner ", row%batchOwners, " of ", b.key()) }

// some returns random rows, in a random order.
func (b batches) some() []int { return b.random.Perm(batchRows)[:1+b.random.IntN(batchRows)] }

func newBatches(t testing.TB, s *schedule, service *cache.Service, n int) (nodes []batches) {
	t.Helper()
	rows := make([]*row, batchRows)
	for i := range rows {
		rows[i] = newRow(s)
	}
	for range n {
		b := batches{schedule: s, service: service, rows: rows}
		c, err := cache.New(service, "batches of "+s.key(), cache.Policy[versioned]{
			Tags: []string{"static:" + s.key()}, TagsOf: func(v versioned) []string { return []string{b.owner(v.Row)} },
		})
		must(t, err)
		b.cache = c
		nodes = append(nodes, b)
	}
	return nodes
}

// playBatches plays schedules of loaders and writers of random batches. way says how a writer
// revokes.
func playBatches(t *testing.T, name string, way func(*schedule) int) {
	t.Helper()
	for _, storage := range batchStorages {
		t.Run(storage.name, func(t *testing.T) {
			t.Parallel()
			inBubbles(t, name+"/"+storage.name, 10_000, func(t *testing.T) func(*schedule) {
				strategy, at := storage.make(t)
				service := start(t, strategy, cache.Options{LockWait: time.Second})
				return func(s *schedule) {
					at(s)
					nodes := newBatches(t, s, service, 2)
					for i := range 2 + s.random.IntN(2) {
						b, leaves := pick(s, nodes), s.random.IntN(8) == 0
						wanted, single := b.some(), s.random.IntN(4) == 0
						ctx, cancel := context.WithCancel(context.Background())
						s.actor(fmt.Sprint("loader ", i), func(a actor) {
							if single {
								b.getOrLoad(ctx, a, wanted[0])
							} else {
								b.getOrLoadMany(ctx, a, wanted)
							}
							cancel()
						})
						if leaves {
							s.actor(fmt.Sprint("loader ", i, "'s caller"), func(actor) { cancel() })
						}
					}
					for i := range 1 + s.random.IntN(2) {
						b, way, changed := pick(s, nodes), way(s), s.random.IntN(batchRows)
						s.actor(fmt.Sprint("writer ", i), func(a actor) { b.write(a, way, changed) })
					}
					b := pick(s, nodes)
					s.actor("reader", func(a actor) { b.getMany(a); a.pause("has read"); b.getMany(a) })
					s.play(2 * time.Second)
					b.getMany(actor{s, "at the end, a reader"})
				}
			})
		})
	}
}

// least returns the oldest versions that a read may return from now on.
func (b batches) least(rows []int) map[string]int64 {
	least := make(map[string]int64)
	for _, i := range rows {
		least[b.keyOf(i)] = b.rows[i].least()
	}
	return least
}

func (b batches) judge(a actor, what string, values map[string]versioned, least map[string]int64) {
	for key, v := range values {
		if _, asked := least[key]; !asked || b.keyOf(v.Row) != key {
			a.fail("%s: %s returned row %d for %s", a.name, what, v.Row, key)
			continue
		}
		b.rows[v.Row].judge(a, what, v.Version, least[key])
	}
}

func (b batches) getMany(a actor) {
	all := []int{0, 1, 2, 3, 4}
	keys, least := make([]string, len(all)), b.least(all)
	for i := range all {
		keys[i] = b.keyOf(i)
	}
	values, err := b.cache.GetMany(context.Background(), keys...)
	if err != nil {
		a.fail("GetMany: %v", err)
	}
	b.judge(a, "GetMany", values, least)
}

// getOrLoadMany loads what the database had when the load began.
func (b batches) getOrLoadMany(ctx context.Context, a actor, rows []int) {
	keys, least := make([]string, len(rows)), b.least(rows)
	for i, row := range rows {
		keys[i] = b.keyOf(row)
	}
	values, err := b.cache.GetOrLoadMany(ctx, keys, func(_ context.Context, missing []string) (map[string]versioned, error) {
		read := make(map[string]versioned)
		for _, i := range rows {
			if slices.Contains(missing, b.keyOf(i)) {
				read[b.keyOf(i)] = versioned{i, b.rows[i].read()}
			}
		}
		if len(read) != len(missing) {
			a.fail("asked for %q, and not only for some of %q", missing, keys)
		}
		a.pause("has read %d rows", len(read))
		return read, nil
	})
	b.judge(a, "GetOrLoadMany", values, least)
	if ctx.Err() == nil && (err != nil || len(values) != len(rows)) {
		a.fail("GetOrLoadMany: %d of %d values, %v", len(values), len(rows), err)
	}
}

func (b batches) getOrLoad(ctx context.Context, a actor, row int) {
	least := b.least([]int{row})
	got, err := b.cache.GetOrLoad(ctx, b.keyOf(row), func(context.Context) (versioned, error) {
		v := versioned{row, b.rows[row].read()}
		a.pause("has read %d", v.Version)
		return v, nil
	})
	switch {
	case err == nil:
		b.judge(a, "GetOrLoad", map[string]versioned{b.keyOf(row): got}, least)
	case ctx.Err() == nil:
		a.fail("GetOrLoad: %v", err)
	}
}

// write commits the rows of an owner, or one of them, and then revokes what is older.
func (b batches) write(a actor, way, changed int) {
	versions := map[int]int64{}
	for i, row := range b.rows {
		if i == changed || way == wayLearned && i%batchOwners == changed%batchOwners {
			versions[i] = row.commit()
		}
	}
	a.pause("has committed %d rows", len(versions))
	var err error
	ctx := context.Background()
	switch way {
	case 0:
		a.did("deletes")
		err = b.cache.Delete(ctx, b.keyOf(changed))
	case 1:
		a.did("invalidates the static tag")
		err = b.cache.InvalidateTags(ctx, "static:"+b.key())
	case wayLearned:
		a.did("invalidates the tag of the owner")
		err = b.cache.InvalidateTags(ctx, b.owner(changed))
	default:
		a.did("clears")
		err = b.service.Clear(ctx)
	}
	if err != nil {
		a.fail("a revocation on a storage that works: %v", errors.Unwrap(err))
	}
	for i, version := range versions {
		b.rows[i].revoked(version)
	}
}
