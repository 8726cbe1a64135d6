package redis

import (
	"context"
	"sync"

	"github.com/redis/rueidis"
)

// notify returns a channel that is closed after the lease on a key was used or given up. It
// subscribes to a Redis channel with the name of the lease. It is allowed to miss the news.
func notify(ctx context.Context, c *client, conn rueidis.Client, lease string) <-chan struct{} {
	told := make(chan struct{})
	c.run(func(life context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		// rueidis leaves the connection subscribed.
		ctx = rueidis.WithOnReceiveReturnHook(ctx, func(_ error, conn rueidis.CommandClient) error {
			// Not life: the application's own connection must not stay subscribed after that has
			// ended.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(life), c.timeout)
			defer cancel()
			return conn.Do(ctx, conn.B().Sunsubscribe().Channel(lease).Build()).Error()
		})
		tell := sync.OnceFunc(func() { close(told) })
		_ = protect(func() error {
			return conn.Receive(ctx, conn.B().Ssubscribe().Channel(lease).Build(), func(rueidis.PubSubMessage) {
				tell()
				cancel()
			})
		})
	})
	return told
}
