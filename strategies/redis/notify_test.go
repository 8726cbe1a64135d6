package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Whoever waits for a lease is told when it was used or given up, and not before.
func TestNotify(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	holder, waiter := start(t, server, redis.Options{}), start(t, server, redis.Options{})
	for name, use := range map[string]func(*cache.Lease) error{
		"Fill": func(lease *cache.Lease) error {
			stored, err := holder.Fill(t.Context(), lease, []byte("v"), cache.SetOptions{TTL: time.Minute})
			if !stored {
				t.Error("it was not stored")
			}
			return err
		},
		"Release": func(lease *cache.Lease) error { return holder.Release(t.Context(), lease) },
	} {
		key := "n:" + name
		lease, err := holder.Lease(t.Context(), key, nil)
		holder.must(err)
		ctx, cancel := context.WithCancel(t.Context())
		told := waiter.Notify(ctx, key)
		subscribers := func() any { return waiter.direct("PUBSUB", "SHARDNUMSUB", "n:l:{0}:"+name).([]any)[1] }
		until(t, func() error {
			if subscribers() != int64(1) {
				return errors.New("not subscribed yet")
			}
			return nil
		})
		select {
		case <-told:
			t.Errorf("%s: told before anything happened", name)
		default:
		}
		holder.must(use(lease))
		select {
		case <-told:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: not told", name)
		}
		cancel()
		until(t, func() error {
			if subscribers() != int64(0) {
				return errors.New("still subscribed")
			}
			return nil
		})
	}
}
