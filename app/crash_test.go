package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
)

// TestLogOutSurvivesACrash: a user logs out while Redis cannot be reached, and the instance is killed before it could
// make up for that. The database has kept what is owed, and the next start applies it; also when starts on other
// storages came between, which owe Redis no less.
func TestLogOutSurvivesACrash(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for name, between := range map[string]string{
		"at once": "", "after noop": "cache: {strategy: noop}", "after bigcache": "cache: {strategy: bigcache}",
		"after another namespace": "cache: {strategy: redis, namespace: other, redis: {addresses: [ADDRESS]}}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			database := filepath.Join(t.TempDir(), "shop.db")
			network := redistest.NewProxy(t, server.Addr())
			config := func(address string) string {
				return write(t, "cache: {strategy: redis, namespace: shop, redis: {addresses: ["+address+"]}}")
			}
			here := launch(t, "-db", database, "-config", config(network.Addr()))
			there := launch(t, "-db", database, "-config", config(server.Addr()))
			bob := visitor(t, here.url, "bob")
			bob.get(t, there.url+"/me").from(t, "cache")

			network.Refuse()
			bob.post(t, here.url+"/logout", nil).is(t, http.StatusServiceUnavailable)
			kill := func(instance *process) {
				if err := instance.command.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				<-instance.ended
			}
			kill(here)
			if between != "" {
				kill(launch(t, "-db", database, "-config", write(t, strings.ReplaceAll(between, "ADDRESS", server.Addr()))))
			}
			// Whoever was not told serves the session: that is what is owed, and why the database keeps it.
			bob.get(t, there.url+"/me").from(t, "cache")
			launch(t, "-db", database, "-config", config(server.Addr()))
			bob.get(t, there.url+"/me").is(t, http.StatusUnauthorized)
		})
	}
}
