package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/internal/redistest"
)

// onServers says, for each configuration that needs Redis, what to replace in it so that it works
// with servers that it starts: old, new, old, new, …
var onServers = map[string]func(t *testing.T) []string{
	"configs/redis.yaml": func(t *testing.T) []string {
		return []string{"127.0.0.1:6379", redistest.Start(t).Addr()}
	},
	"configs/split.yaml": func(t *testing.T) []string {
		return []string{"127.0.0.1:6379", redistest.Start(t).Addr()}
	},
	"configs/tiered.yaml": func(t *testing.T) []string {
		return []string{"127.0.0.1:6379", redistest.Start(t).Addr()}
	},
	"configs/redis-tls.yaml": func(t *testing.T) []string {
		server := redistest.Start(t, redistest.TLS(), redistest.User("shop", "secret", "~shop:*", "&shop:*", "+@all"))
		files := server.TLSFiles()
		return []string{"127.0.0.1:6380", server.Addr(), "/run/secrets/redis", write(t, "secret\n"),
			"/etc/shop/ca.pem", files.CA, "/etc/shop/client.pem", files.Cert, "/etc/shop/client.key", files.Key}
	},
	"configs/redis-sentinel.yaml": func(t *testing.T) []string {
		sentinels := redistest.StartSentinel(t, 1, 3).SentinelAddrs()
		return []string{"127.0.0.1:26379", sentinels[0], "127.0.0.1:26380", sentinels[1], "127.0.0.1:26381", sentinels[2]}
	},
	"configs/redis-cluster.yaml": func(t *testing.T) []string {
		nodes := redistest.StartCluster(t, 3, 0).Addrs()
		return []string{"127.0.0.1:7000", nodes[0], "127.0.0.1:7001", nodes[1], "127.0.0.1:7002", nodes[2]}
	},
}

// required is the key that has the start fail without Redis, by whether Redis is a further store.
var required = map[bool]string{false: "cache.redis.require", true: "cache.stores.sessions.redis.require"}

// Every configuration that comes with the shop and needs Redis works with it.
func TestRedisConfigs(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	files, err := filepath.Glob("configs/redis*.yaml")
	files = append(files, "configs/split.yaml", "configs/tiered.yaml")
	if err != nil || len(files) != len(onServers) {
		t.Fatalf("%q, %v; want a row in onServers for each", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text := string(content)
			replacements := onServers[file](t)
			for i := 0; i < len(replacements); i += 2 {
				if !strings.Contains(text, replacements[i]) {
					t.Errorf("it has no %s", replacements[i])
				}
				text = strings.ReplaceAll(text, replacements[i], replacements[i+1])
			}
			var service *cache.Service
			app := fx.New(fxcache.Module, fxcache.ConfigFile(write(t, text)), fxcache.WithoutEnvironment(nil), fx.NopLogger, fx.Populate(&service),
				fxcache.Override(map[string]any{required[strings.Contains(text, "stores:")]: true, "cache.timeout": "2s"}))
			if err := app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			var got string
			errSet := service.Set(t.Context(), "k", "v", cache.SetOptions{Tags: []string{"t"}})
			found, errGet := service.Get(t.Context(), "k", &got)
			errTags := service.InvalidateTags(t.Context(), "t")
			gone, errGone := service.Get(t.Context(), "k", &got)
			if err := errors.Join(errSet, errGet, errTags, errGone); err != nil || !found || got != "v" || gone {
				t.Errorf("Set: %v; Get: %t, %v; InvalidateTags: %v; Get: %t, %v", errSet, found, errGet, errTags, gone, errGone)
			}
			if err := app.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
