package redis_test

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Many read the same few entries at once, so that their reads share commands, while those are
// deleted, invalidated and stored anew: none sees less than was done before it began, or another
// entry's value.
func TestReadsTogether(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	const readers, keys, rounds = 64, 4, 300
	server := redistest.Start(t)
	s := start(t, server, redis.Options{})
	done := [keys]atomic.Int64{} // no value before this one may be found
	writing := make(chan struct{})
	var writers, all sync.WaitGroup
	var reads, hits atomic.Int64
	for k := range keys {
		key, opts := fmt.Sprint("n:k", k), driver.SetOptions{TTL: time.Hour, Tags: []string{"n:all", fmt.Sprint("n:t", k)}}
		writers.Go(func() {
			for round := range rounds {
				var err error
				if round%2 == 0 {
					err = s.Delete(t.Context(), key)
				} else {
					err = s.InvalidateTags(t.Context(), opts.Tags[1])
				}
				s.must(err)
				done[k].Store(int64(round))
				s.must(s.Set(t.Context(), key, []byte(fmt.Sprint(key, " ", round)), opts))
			}
		})
	}
	for reader := range readers {
		all.Go(func() {
			for i := reader; ; i++ {
				select {
				case <-writing:
					return
				default:
				}
				k := i % keys
				key, least := fmt.Sprint("n:k", k), done[k].Load()
				var value []byte
				var found bool
				var err error
				if i/keys%2 == 0 {
					value, found, err = s.Get(t.Context(), key)
				} else {
					value, found, err = s.GetHinted(t.Context(), key, []string{"n:all", fmt.Sprint("n:t", k)})
				}
				reads.Add(1)
				if err != nil {
					t.Errorf("%s: %v", key, err)
				}
				if !found {
					continue
				}
				hits.Add(1)
				if len(value) <= len(key) || string(value[:len(key)+1]) != key+" " {
					t.Errorf("%s: the value is %q", key, value)
				} else if round, err := strconv.ParseInt(string(value[len(key)+1:]), 10, 64); err != nil || round < least {
					t.Errorf("%s: the value is %q, and all before %d were revoked", key, value, least)
				}
				value[0] = 'x' // it is ours
			}
		})
	}
	writers.Wait()
	close(writing)
	all.Wait()
	stats, err := server.Info(t.Context(), "commandstats")
	s.must(err)
	t.Logf("%d reads, %d hits; %s", reads.Load(), hits.Load(), stats["cmdstat_mget"])
	if hits.Load() < readers {
		t.Error("hardly anything was found: the test proves nothing")
	}
	var commands int64
	if _, err := fmt.Sscanf(stats["cmdstat_mget"], "calls=%d", &commands); err != nil || commands > reads.Load()/2 {
		t.Errorf("%d reads made %d commands: hardly any share one, and the test proves nothing", reads.Load(), commands)
	}
}
