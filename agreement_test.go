package fxcache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/fxtest"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/sessioncache"
)

// Without a namespace of its own, an application could use the sessions of another application on
// the same storage.
func TestNamespaceOfASharedStorage(t *testing.T) {
	t.Parallel()
	for text, refused := range map[string]bool{
		"cache: {strategy: redis}": true, "cache: {strategy: redis, namespace: app}": true,
		"cache: {strategy: redis, namespace: shop}": false, "cache: {strategy: bigcache}": false, "cache: {strategy: noop}": false,
	} {
		err := newApp(fxtest.Config(text)).Err()
		var invalid *config.Error
		if refused != (errors.As(err, &invalid) && len(invalid.Problems) == 1 && invalid.Problems[0].Path == "cache.namespace") || !refused && err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := newApp(fxtest.Config("cache: {strategy: redis}"), fxcache.CacheOptions(func(o *cache.Options) { o.Namespace = "shop" })).Err(); err != nil {
		t.Errorf("with a namespace from code: %v", err)
	}
}

// Two nodes of one application have different numbers of lanes, for example because a rolling
// deploy changes one variable. The second one does not start, and says why. Nothing is served after
// Delete has returned nil.
func TestNodesThatDoNotAgree(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	onLanes := func(lanes int) fx.Option {
		return fxtest.Config(fmt.Sprintf("cache: {strategy: redis, namespace: shop, redis: {addresses: [%q], lanes: %d}}", server.Addr(), lanes))
	}
	here := fxtest.New(t, onLanes(4))
	there := newApp(onLanes(1))
	if err := there.Err(); err != nil {
		t.Fatal(err)
	}
	err := there.Start(t.Context())
	var invalid *config.Error
	if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Path != "cache.redis.lanes" ||
		!strings.Contains(invalid.Problems[0].Message, "is 1 here and 4 on the nodes") {
		t.Errorf("Start = %v", err)
	}
	for i := range 100 {
		token := fmt.Sprint("token", i)
		if _, err := here.Sessions.Update(t.Context(), token, func(context.Context) (*sessioncache.CachedSession, error) {
			return &sessioncache.CachedSession{ID: "1", Expires: here.Clock.Now().Add(time.Hour), User: &sessioncache.User{ID: "u"}}, nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := here.Sessions.Delete(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if _, found, _ := here.Sessions.Get(t.Context(), token); found {
			t.Error("a session is served after Delete returned nil")
		}
	}
}
