package redis_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

const (
	evictionWorkers = 8
	evictionSteps   = 2200    // of each worker
	evictionRoom    = 3 << 20 // beyond what the empty server uses
	evictionRows    = 32
	rowsPerGroup    = 4
	rowBytes        = 1 << 10
	ownEntries      = 80 // of each worker; all of them together are more than there is room for
	ownBytes        = 8 << 10
	leasesAtOnce    = 8 // that a worker holds
)

// row is a row of the database. Its version only grows; floor is the one that the latest finished
// revocation made the oldest which may be served.
type row struct {
	key    string
	group  string   // a tag that is known before the row is loaded; others share it
	owners []string // of which version%2 is a tag of the entry, known only once the row is loaded
	peers  []*row   // those of the group, itself included

	version, floor atomic.Int64
}

// evicting is a strategy on a server that is too small for what it is to hold.
type evicting struct {
	*started
	rows []*row
	full bool // the policy evicts nothing: writes may be refused

	steps, written                      atomic.Int64 // written counts bytes
	stored, refused, outOfMemory        atomic.Int64 // fills, and refusals of any write
	hits, hinted, own                   atomic.Int64 // hits of Get, of GetHinted, of a worker's own entries
	revoked, revokedWhileFull           atomic.Int64
	lostLeases, lostNonces, lostLedgers atomic.Int64 // by sabotage
}

// Whatever Redis drops to make room, an entry that was revoked is never served: under every policy,
// overfilled four times, while nonces, leases and ledgers are lost one by one, all at once, and the
// scripts too. Loaders hold leases over writers' commits and revocations; readers know what the
// oldest version is that they may see.
func TestEviction(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for seed, policy := range []string{
		"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
	} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			e := &evicting{started: start(t, redistest.Start(t, redistest.Config("maxmemory-policy "+policy)), redis.Options{}), full: policy == "noeviction"}
			for i := range evictionRows {
				first := i - i%rowsPerGroup
				r := &row{key: fmt.Sprint("n:row", i), group: fmt.Sprint("n:group", first), owners: []string{fmt.Sprint("n:even", i), fmt.Sprint("n:odd", i)}}
				e.rows = append(e.rows, r)
				for _, peer := range e.rows[first:i] {
					peer.peers = append(peer.peers, r)
				}
				r.peers = append(r.peers, e.rows[first:]...)
			}
			limit := e.number("memory", "used_memory") + evictionRoom
			_, err := e.server.Do(t.Context(), "CONFIG", "SET", "maxmemory", limit)
			e.must(err)
			var workers sync.WaitGroup
			for id := range evictionWorkers {
				conn, err := e.server.Dial(t.Context())
				e.must(err)
				w := &worker{evicting: e, id: id, random: rand.New(rand.NewPCG(uint64(seed), uint64(id))), conn: conn}
				workers.Go(func() { w.run(t.Context()) })
				t.Cleanup(func() { _ = conn.Close() })
			}
			workers.Wait()
			e.enough(limit)
		})
	}
}

// number returns a field of INFO.
func (e *evicting) number(section, field string) int64 {
	e.Helper()
	info, err := e.server.Info(e.Context(), section)
	e.must(err)
	n, err := strconv.ParseInt(info[field], 10, 64)
	e.must(err)
	return n
}

// enough fails the test where too little happened for it to prove anything.
func (e *evicting) enough(limit int64) {
	e.Helper()
	overfill, evicted := float64(e.written.Load())/float64(limit), e.number("stats", "evicted_keys")
	e.Logf("overfilled %.1f times, %d evicted; fills: %d stored, %d refused; %d writes out of memory; hits: %d, hinted %d, own %d; "+
		"%d revocations, %d while full; lost on purpose: %d leases, %d nonces, %d ledgers", overfill, evicted, e.stored.Load(), e.refused.Load(),
		e.outOfMemory.Load(), e.hits.Load(), e.hinted.Load(), e.own.Load(), e.revoked.Load(), e.revokedWhileFull.Load(),
		e.lostLeases.Load(), e.lostNonces.Load(), e.lostLedgers.Load())
	if overfill < 4 {
		e.Errorf("void: overfilled %.1f times, want 4", overfill)
	}
	type amount struct {
		what     string
		got, min int64
	}
	amounts := []amount{
		{"fills stored", e.stored.Load(), 300},
		{"fills refused", e.refused.Load(), 100},
		{"hits of Get", e.hits.Load(), 200},
		{"hits of GetHinted", e.hinted.Load(), 200},
		{"hits of a worker's own entries", e.own.Load(), 200},
		{"revocations", e.revoked.Load(), 1000},
		{"leases lost on purpose", e.lostLeases.Load(), 20},
		{"nonces lost on purpose", e.lostNonces.Load(), 20},
		{"ledgers lost on purpose", e.lostLedgers.Load(), 20},
	}
	if e.full {
		amounts = append(amounts, amount{"writes out of memory", e.outOfMemory.Load(), 300}, amount{"revocations while full", e.revokedWhileFull.Load(), 300})
	} else {
		amounts = append(amounts, amount{"evictions", evicted, 1000})
	}
	for _, a := range amounts {
		if a.got < a.min {
			e.Errorf("void: %d %s, want %d at least", a.got, a.what, a.min)
		}
	}
}
