package redis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Every write of a nonce reaches all processes that have its entries in memory. So entries of the
// same TTL write a nonce that they share twice in that time at the most, whichever way they are
// stored, and it lives as long as they do.
func TestNoncesAreSeldomWritten(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s := start(t, redistest.Start(t), redis.Options{})
	ctx, many, batches := t.Context(), 50, 0
	s.direct("CONFIG", "SET", "notify-keyspace-events", "KA")
	options := func(i int) driver.SetOptions {
		return driver.SetOptions{TTL: time.Hour, Tags: []string{"n:all", fmt.Sprint("n:user", i)}}
	}
	ways := map[string]func(i int){
		"Set": func(i int) { s.set(fmt.Sprint("n:", i), time.Hour, options(i).Tags...) },
		"Fill": func(i int) {
			lease, err := s.Lease(ctx, fmt.Sprint("n:", i))
			s.must(err)
			if stored, err := s.Fill(ctx, lease, []byte("v"), options(i)); !stored || err != nil {
				t.Errorf("Fill = %v, %v", stored, err)
			}
		},
		"SetMany": func(i int) {
			for _, err := range s.SetMany(ctx, []driver.Item{{Key: fmt.Sprint("n:", i), Value: []byte("v"), Options: options(i)}}) {
				s.must(err)
			}
		},
		"FillMany": func(i int) {
			batches++
			leased := s.GetOrLeaseMany(ctx, []string{fmt.Sprint("n:new", batches)})
			for _, r := range s.FillMany(ctx, []driver.Fill{{Lease: leased[0].Lease, Value: []byte("v"), Options: options(i)}}) {
				if !r.Stored {
					t.Errorf("FillMany = %+v", r)
				}
			}
		},
	}
	for _, nonce := range []string{"n:t:{0}:all", "n:t:{0}:"} { // the latter is the generation
		channel := "__keyspace@0__:" + nonce
		s.direct("DEL", nonce)
		heard, err := s.server.Dial(ctx)
		s.must(err)
		if _, err := heard.Do(ctx, "SUBSCRIBE", channel); err != nil {
			t.Fatal(err)
		}
		store := func(count int, ways map[string]func(i int)) (writes []string) {
			for i := range count {
				for _, way := range ways {
					way(i)
				}
			}
			s.direct("PUBLISH", channel, "end")
			for {
				message, err := heard.Receive(ctx)
				s.must(err)
				if event := message.([]any)[2].(string); event != "end" {
					writes = append(writes, event)
				} else {
					return writes
				}
			}
		}
		if writes := store(1000/len(ways), ways); fmt.Sprint(writes) != "[set expire]" {
			t.Errorf("%s: 1,000 entries: %v, want that it is made once, and with an expiry", nonce, writes)
		}
		for name, way := range ways {
			s.direct("PEXPIRE", nonce, time.Hour.Milliseconds()-1) // as if an hour had passed
			if writes := store(many, map[string]func(int){name: way}); fmt.Sprint(writes) != "[expire expire]" {
				t.Errorf("%s, %s: %v, want that it is extended once", nonce, name, writes)
			}
			if life := s.direct("PTTL", nonce).(int64); life <= time.Hour.Milliseconds() {
				t.Errorf("%s, %s: it lives for %d ms, and an entry for an hour", nonce, name, life)
			}
		}
		s.must(heard.Close())
	}
}
