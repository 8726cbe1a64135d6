package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// verbatim encodes a []byte as itself.
type verbatim struct{}

func (verbatim) Name() string { return "verbatim" }
func (verbatim) Append(dst []byte, value any) ([]byte, error) {
	return append(dst, value.([]byte)...), nil
}
func (verbatim) Unmarshal(data []byte, target any) error {
	*target.(*[]byte) = bytes.Clone(data)
	return nil
}

// Sessions share a link of 100 Mbit/s with pages of 500 KiB, many times more than it carries, which
// are read, loaded and stored. The sessions come from the cache all the same. It is not parallel to
// others, which would take its time.
//
//nolint:paralleltest // as said
func TestSessionsBesideLargeValues(t *testing.T) {
	redistest.Require(t)
	const sessions, pages, readers, loaders, rounds = 200, 64, 8, 8, 8
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	strategy, err := redis.New(redis.Options{Addresses: []string{proxy.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	service, err := cache.NewService(strategy, cache.Options{Namespace: "shop", Timeout: 200 * time.Millisecond, Codec: verbatim{}, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = service.Start(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	session, err := cache.New(service, "session", cache.Policy[[]byte]{
		Tags: []string{"all"}, TagsOf: func(value []byte) []string { return []string{string(value[:16])} },
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := cache.New(service, "page", cache.Policy[[]byte]{})
	if err != nil {
		t.Fatal(err)
	}
	row := func(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "user %011d", i), 30) }
	content := large("page")
	for i := range sessions {
		until(t, func() error { return session.Set(t.Context(), fmt.Sprint(i), row(i)) })
	}
	for i := range pages {
		until(t, func() error { return page.Set(t.Context(), fmt.Sprint(i), content) })
	}
	proxy.Limit(100_000_000 / 8)
	defer proxy.Limit(0)

	// run reads sessions, beside pages or not, and returns how many reads there were, and how many
	// of them the cache did not answer.
	run := func(beside bool) (reads, missed, pageReads, pageMissed int64) {
		ctx, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		var all sync.WaitGroup
		count := func(n int, c *cache.Cache[[]byte], keys int, value func(i int) []byte, pause time.Duration, reads, missed *int64) {
			for range n {
				all.Go(func() {
					pace := time.NewTicker(pause)
					defer pace.Stop()
					for ctx.Err() == nil {
						i := rand.IntN(keys)
						var loaded bool
						// Not ctx: its end would be nobody's fault.
						got, err := c.GetOrLoad(t.Context(), fmt.Sprint(i), func(context.Context) ([]byte, error) {
							loaded = true
							return value(i), nil
						})
						if err != nil && !errors.Is(err, driver.ErrUnavailable) || err == nil && !bytes.HasPrefix(value(i), got[:min(1000, len(got))]) {
							t.Errorf("%d bytes, %v", len(got), err)
						}
						atomic.AddInt64(reads, 1)
						if loaded || err != nil {
							atomic.AddInt64(missed, 1)
						}
						<-pace.C
					}
				})
			}
		}
		count(readers, session, sessions, row, 5*time.Millisecond, &reads, &missed)
		if beside {
			count(loaders, page, pages, func(int) []byte { return content }, 20*time.Millisecond, &pageReads, &pageMissed)
		}
		all.Wait()
		return reads, missed, pageReads, pageMissed
	}
	share := func(reads, missed int64) float64 { return 100 * float64(reads-missed) / float64(max(1, reads)) }
	best := 0.0
	for round := 0; round < rounds && best < 0.99; round++ { // others use the machine as well: it has to succeed once
		reads, missed, _, _ := run(false)
		alone := share(reads, missed)
		reads, missed, pageReads, pageMissed := run(true)
		beside := share(reads, missed)
		t.Logf("from the cache: %.2f %% of the sessions without pages, %.2f %% of %d reads beside pages; %.2f %% of %d reads of pages",
			alone, beside, reads, share(pageReads, pageMissed), pageReads)
		if pageReads >= loaders { // or else it proves nothing
			best = max(best, beside/max(1, alone))
		}
	}
	if best < 0.99 {
		t.Errorf("of the sessions that came from the cache without pages, %.2f %% do so beside them; want 99 %%", 100*best)
	}
}
