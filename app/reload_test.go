package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
)

// With -watch, sessions and products move from the memory of the program to Redis and back while 16
// clients log in and out and change a product. No request fails, and each log-out and each change
// counts at once.
func TestStorageChangesUnderLoad(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	const embedded = "cache: {strategy: bigcache, handover: 1s}\n"
	onRedis := fmt.Sprintf("cache: {strategy: redis, namespace: shop, handover: 1s, redis: {addresses: [%q]}}\n", server.Addr())
	path := write(t, embedded)
	p := launch(t, "-watch", "-config", path)

	var clients sync.WaitGroup
	var over atomic.Bool
	var cached, loggedOut, changed atomic.Int64
	for i := range 15 {
		name := []string{"bob", "admin", "bob"}[i%3]
		clients.Go(func() {
			c := newClient(t)
			for !over.Load() {
				c.login(t, p.url, name+"@example.com", name)
				for range 30 {
					a := c.get(t, p.url+"/me").is(t, http.StatusOK).has(t, "identifier", fmt.Sprintf("%q", name+"@example.com"))
					if a.Header.Get("X-Session-Source") == "cache" {
						cached.Add(1)
					}
				}
				c.post(t, p.url+"/logout", nil).is(t, http.StatusNoContent)
				program(t, c.token()).get(t, p.url+"/me").is(t, http.StatusUnauthorized)
				loggedOut.Add(1)
			}
		})
	}
	clients.Go(func() {
		alice, anybody := visitor(t, p.url, "alice"), newClient(t)
		for price := 1000; !over.Load(); price++ {
			alice.put(t, p.url+"/products/1", map[string]any{"name": "Lamp", "price_cents": price}).is(t, http.StatusOK)
			for range 5 {
				anybody.get(t, p.url+"/products/1").is(t, http.StatusOK).has(t, "price_cents", fmt.Sprint(price))
			}
			changed.Add(1)
		}
	})
	defer func() {
		over.Store(true)
		clients.Wait()
		if log := p.stderr.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "a request failed") {
			t.Errorf("logged:\n%s", log)
		}
		t.Logf("%d requests with a cached session, %d log-outs, %d changes of a product", cached.Load(), loggedOut.Load(), changed.Load())
		p.stop(t)
	}()

	ask := func(args ...any) string {
		reply, err := server.Do(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(reply)
	}
	for _, step := range []struct {
		text, what string
		done       func() bool
	}{
		{onRedis, "entries on Redis", func() bool { return strings.Contains(ask("KEYS", "*"), "shop:v:") }},
		{embedded, "the end of the connections to Redis", func() bool { return strings.Count(ask("CLIENT", "LIST"), " addr=") == 1 }},
		{onRedis, "entries on Redis", func() bool { return strings.Contains(ask("KEYS", "*"), "shop:v:") }},
	} {
		if err := os.WriteFile(path+"~", []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+"~", path); err != nil {
			t.Fatal(err)
		}
		p.await(t, step.what, step.done)
		ask("FLUSHALL") // so that the entries of the next step are its own
	}
	p.await(t, "a request with a cached session, a log-out and a change of a product", func() bool {
		return cached.Load() > 0 && loggedOut.Load() > 0 && changed.Load() > 0
	})
}
