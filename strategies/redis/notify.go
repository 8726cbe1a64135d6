package redis

import (
	"context"
	"sync"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

var _ cache.Notifier = (*Strategy)(nil)

// Notify implements cache.Notifier, by a subscription to the channel that is called like the lease.
func (s *Strategy) Notify(ctx context.Context, key string) <-chan struct{} {
	told := make(chan struct{})
	st, conn, err := s.connected(ctx)
	if err != nil {
		return told
	}
	channel := st.keys.of(key).lease()
	st.work(func(life context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		// rueidis leaves the connection subscribed.
		ctx = rueidis.WithOnReceiveReturnHook(ctx, func(_ error, conn rueidis.CommandClient) error {
			// Not life: a connection of the application's must not stay subscribed when that has ended.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(life), st.timeout)
			defer cancel()
			return conn.Do(ctx, conn.B().Sunsubscribe().Channel(channel).Build()).Error()
		})
		tell := sync.OnceFunc(func() { close(told) })
		// Where it ends because the connection does, nobody is told: that is allowed.
		_ = protect(func() error {
			return conn.Receive(ctx, conn.B().Ssubscribe().Channel(channel).Build(), func(rueidis.PubSubMessage) {
				tell()
				cancel()
			})
		})
	})
	return told
}
