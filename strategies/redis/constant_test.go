package redis_test

import (
	"fmt"
	"hash/fnv"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Revoking costs the same commands for 10 entries and for 200,000: their number is that of the
// lanes.
func TestRevocationIsConstant(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for _, lanes := range []int{1, 4} {
		t.Run(fmt.Sprintf("lanes=%d", lanes), func(t *testing.T) {
			t.Parallel()
			s := start(t, redistest.Start(t), redis.Options{Lanes: lanes})
			deleted := []string{"n:0"}
			for i := range 8 * lanes { // there are none of these, so many that every lane is concerned
				deleted = append(deleted, fmt.Sprint("n:absent", i))
			}
			s.direct("ACL", "SETUSER", "default", "-scan") // what Clear frees later is not counted
			invalidation := map[string]int{"unlink": lanes, "evalsha": lanes, "exists": lanes, "hlen": lanes, "hincrby": lanes, "hset": lanes}
			revocations := []struct {
				name string
				do   func() error
				want map[string]int
			}{
				{"Delete", func() error { return s.Delete(t.Context(), deleted...) }, map[string]int{"unlink": lanes}},
				{"InvalidateTags", func() error { return s.InvalidateTags(t.Context(), "n:all", "n:other") }, invalidation},
				{"Clear", func() error { return s.Clear(t.Context()) }, invalidation},
			}
			for _, entries := range []int{10, 200_000} {
				s.fill(entries, lanes)
				for i := range 8 * lanes { // a lease in every lane: there is a ledger to note tags in
					_, err := s.Lease(t.Context(), fmt.Sprint("n:leased", i))
					s.must(err)
				}
				s.must(s.InvalidateTags(t.Context(), "n:other")) // loads the script
				for _, r := range revocations {
					before := s.size()
					counts := s.commands(func() { s.must(r.do()) })
					t.Logf("%s, %d keys in Redis: %v", r.name, before, counts)
					for _, ours := range []string{"auth", "config|resetstat", "ping", "get", "scan"} {
						delete(counts, ours) // ping and get: of the client, from time to time; scan: refused
					}
					if !maps.Equal(counts, r.want) {
						t.Errorf("%s, %d entries: %v, want %v", r.name, entries, counts, r.want)
					}
					last := fmt.Sprint("n:", entries-1)
					if _, found, err := s.Get(t.Context(), last); found != (r.name == "Delete") || err != nil {
						t.Errorf("%s, %d entries: the last one: %t, %v", r.name, entries, found, err)
					}
					if s.found("n:0") {
						t.Errorf("%s, %d entries: the first one outlived it", r.name, entries)
					}
				}
			}
		})
	}
}

// fill makes the entries n:0, n:1 and so on, all with the tag n:all. Beyond the first thousand they
// are copies that Redis makes of one in their lane, byte for byte: to set them takes half a minute.
func (s *started) fill(entries, lanes int) {
	s.Helper()
	const set, batch = 1000, 2000
	lane := func(i int) string {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte("n:" + strconv.Itoa(i))) // never fails
		return "n:v:{" + strconv.FormatUint(hash.Sum64()%uint64(lanes), 10) + "}:"
	}
	models := map[string]string{} // an entry of each lane
	for i := range min(set, entries) {
		name := strconv.Itoa(i)
		s.must(s.Set(s.Context(), "n:"+name, []byte("value of n:"+name), driver.SetOptions{TTL: time.Hour, Tags: []string{"n:all"}}))
		models[lane(i)] = lane(i) + name
	}
	conn, err := s.server.Dial(s.Context())
	s.must(err)
	defer func() { _ = conn.Close() }() // replies are in
	for first := set; first < entries; first += batch {
		pairs := []any{"EVAL", "for i = 1, #KEYS, 2 do redis.call('COPY', KEYS[i], KEYS[i + 1]) end", 0}
		for i := first; i < min(first+batch, entries); i++ {
			pairs = append(pairs, models[lane(i)], lane(i)+strconv.Itoa(i))
		}
		pairs[2] = len(pairs) - 3
		_, err := conn.Do(s.Context(), pairs...)
		s.must(err)
	}
	if there := s.size(); there < int64(entries) {
		s.Fatalf("%d keys are there, want %d", there, entries)
	}
	for i := 0; i < entries; i += max(1, entries/100) {
		if _, found, err := s.Get(s.Context(), "n:"+strconv.Itoa(i)); !found || err != nil {
			s.Fatalf("entry %d of %d: %t, %v", i, entries, found, err)
		}
	}
}
