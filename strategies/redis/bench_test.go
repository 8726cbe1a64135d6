package redis_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/cachetest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// BenchmarkGet compares reads through the strategy with rueidis's bare GET of the same bytes, on one
// server. The contenders take turns, so that the ratios of throughput hold on a noisy machine.
func BenchmarkGet(b *testing.B) {
	redistest.Require(b)
	server := redistest.Start(b)
	s := start(b, server, redis.Options{})
	bare, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, ForceSingleClient: true, DisableCache: true, AlwaysPipelining: true})
	s.must(err)
	b.Cleanup(bare.Close)
	const keys = 1000
	ctx, value, tags := b.Context(), make([]byte, 371), []string{"n:session:all"} // a session of 2 permissions
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprintf("n:session:%032d", i)
		s.must(s.Set(ctx, names[i], value, cache.SetOptions{TTL: time.Hour, Tags: tags}))
		s.must(bare.Do(ctx, bare.B().Set().Key("bare:"+names[i]).Value(string(value)).Build()).Error())
	}
	contenders := []struct {
		name string
		get  func(ctx context.Context, name string) bool
	}{
		{"bare", func(ctx context.Context, name string) bool {
			v, err := bare.Do(ctx, bare.B().Get().Key("bare:"+name).Build()).AsBytes()
			return err == nil && len(v) == len(value)
		}},
		{"static", func(ctx context.Context, name string) bool {
			v, found, err := s.GetHinted(ctx, name, tags)
			return err == nil && found && len(v) == len(value)
		}},
		{"dynamic", func(ctx context.Context, name string) bool {
			v, found, err := s.Get(ctx, name)
			return err == nil && found && len(v) == len(value)
		}},
	}
	for _, goroutines := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			const turn = 2000
			var spent [3]time.Duration
			gets := 0
			for b.Loop() {
				for who, c := range contenders {
					began := time.Now()
					var next atomic.Int64
					var workers sync.WaitGroup
					for range goroutines {
						workers.Go(func() {
							for i := next.Add(1); i <= turn; i = next.Add(1) {
								// All with a deadline, as the Service gives one.
								ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
								if !c.get(ctx, names[i%keys]) {
									b.Errorf("%s: not found", c.name)
								}
								cancel()
							}
						})
					}
					workers.Wait()
					spent[who] += time.Since(began)
				}
				gets += turn
			}
			b.ReportMetric(0, "ns/op")
			for who, c := range contenders {
				b.ReportMetric(float64(spent[who].Nanoseconds())/float64(gets), c.name+"-ns/get")
			}
			b.ReportMetric(float64(spent[0])/float64(spent[1]), "static-x-bare")
			b.ReportMetric(float64(spent[0])/float64(spent[2]), "dynamic-x-bare")
		})
	}
}

// BenchmarkInvalidateTags takes the same time for a tag of 10 entries and of 10,000.
func BenchmarkInvalidateTags(b *testing.B) {
	redistest.Require(b)
	s := start(b, redistest.Start(b), redis.Options{})
	for _, entries := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			tag := fmt.Sprint("n:tag", entries)
			for i := range entries {
				s.must(s.Set(b.Context(), fmt.Sprint("n:", entries, ":", i), []byte("v"), cache.SetOptions{TTL: time.Hour, Tags: []string{tag}}))
			}
			for b.Loop() {
				s.must(s.InvalidateTags(b.Context(), tag))
			}
		})
	}
}

func BenchmarkStrategy(b *testing.B) {
	redistest.Require(b)
	server := redistest.Start(b)
	cachetest.RunBenchmarks(b, on(redis.Options{Addresses: []string{server.Addr()}}))
}
