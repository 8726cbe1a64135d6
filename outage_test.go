package fxcache_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/fxtest"
	"github.com/fxcache/fxcache/sessioncache"
)

// While the cache is down, slow pages occupy all load slots of their kind and fill the queue for
// them. Sessions are loaded all the same.
func TestSlowPagesDoNotHoldUpSessions(t *testing.T) {
	t.Parallel()
	app := fxtest.New(t, fxtest.Config(`cache: {strategy: redis, namespace: shop, max_concurrent_loads: 20, redis: {addresses: ["127.0.0.1:1"]}}`))
	pages, err := cache.New(app.Cache, "page", cache.Policy[string]{})
	if err != nil {
		t.Fatal(err)
	}
	loading := make(chan struct{}, 40)
	for i := range 40 {
		go func() {
			_, _ = pages.GetOrLoad(t.Context(), fmt.Sprint(i), func(ctx context.Context) (string, error) {
				loading <- struct{}{}
				<-ctx.Done()
				return "", ctx.Err()
			})
		}()
	}
	for range 20 {
		<-loading
	}
	for i := range 40 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, found, err := app.Sessions.GetOrLoad(ctx, fmt.Sprint("token", i), func(context.Context) (*sessioncache.CachedSession, error) {
			return &sessioncache.CachedSession{ID: "1", Expires: time.Now().Add(time.Hour)}, nil
		})
		cancel()
		if !found || err != nil {
			t.Fatalf("session %d: %t, %v", i, found, err)
		}
	}
	if n := len(loading); n > 0 {
		t.Errorf("%d pages more than max_concurrent_loads are being loaded", n)
	}
}
