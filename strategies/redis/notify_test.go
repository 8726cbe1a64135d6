package redis_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// Whoever waits for a lease is told when it was used or given up, and not before.
func TestNotify(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	holder, waiter := start(t, server, redis.Options{}), start(t, server, redis.Options{})
	for name, use := range map[string]func(*driver.Lease) error{
		"Fill": func(lease *driver.Lease) error {
			stored, err := holder.Fill(t.Context(), lease, []byte("v"), driver.SetOptions{TTL: time.Minute})
			if !stored {
				t.Error("it was not stored")
			}
			return err
		},
		"Fill that comes too late": func(lease *driver.Lease) error {
			holder.must(holder.InvalidateTags(t.Context(), "n:t"))
			stored, err := holder.Fill(t.Context(), lease, []byte("v"), driver.SetOptions{TTL: time.Minute, Tags: []string{"n:t"}})
			if stored {
				t.Error("it was stored")
			}
			return err
		},
		"Release": func(lease *driver.Lease) error { return holder.Release(t.Context(), lease) },
	} {
		key := "n:" + name
		lease, err := holder.Lease(t.Context(), key)
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
		until(t, func() error { // also where the caller stays
			if subscribers() != int64(0) {
				return errors.New("still subscribed")
			}
			return nil
		})
		cancel()
	}
}

// Two notices at once are one. Who leaves without any is no subscriber any more, and the end of the
// strategy waits for nobody.
func TestNotifyEnds(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	waiter := start(t, server, redis.Options{})
	subscribe := func(ctx context.Context, key string) (told <-chan struct{}, channel string) {
		t.Helper()
		told, channel = waiter.Notify(ctx, "n:"+key), "n:l:{0}:"+key
		until(t, func() error { return subscribed(waiter, channel, 1) })
		return told, channel
	}
	for i := range 8 { // whether the second notice comes before the end is up to chance
		told, channel := subscribe(t.Context(), fmt.Sprint(i))
		waiter.direct("EVAL", "redis.call('SPUBLISH', KEYS[1], '') return redis.call('SPUBLISH', KEYS[1], '')", "1", channel)
		<-told
		until(t, func() error { return subscribed(waiter, channel, 0) })
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, channel := subscribe(ctx, "left")
	cancel()
	until(t, func() error { return subscribed(waiter, channel, 0) })
	select {
	case <-told:
		t.Error("told though nothing happened")
	default:
	}
	subscribe(t.Context(), "ended")
	ending, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := waiter.Destroy(ending); err != nil {
		t.Errorf("Destroy beside a subscription: %v", err)
	}
}

// subscribed checks how many subscribers a channel has.
func subscribed(s *started, channel string, want int64) error {
	if n := s.direct("PUBSUB", "SHARDNUMSUB", channel).([]any)[1]; n != want {
		return fmt.Errorf("%v subscribers, want %d", n, want)
	}
	return nil
}
