package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
)

// reloadOnHangup reloads the configuration of the cache on SIGHUP, as daemons do. The Reloader
// logs what comes of it.
func reloadOnHangup(lifecycle fx.Lifecycle, reloader *fxcache.Reloader) {
	hangups := make(chan os.Signal, 1)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	lifecycle.Append(fx.StartStopHook(func() {
		signal.Notify(hangups, syscall.SIGHUP)
		go func() {
			defer close(ended)
			for {
				select {
				case <-hangups:
					_ = reloader.Reload(ctx)
				case <-ctx.Done():
					return
				}
			}
		}()
	}, func() {
		signal.Stop(hangups)
		cancel()
		<-ended
	}))
}
