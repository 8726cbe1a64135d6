package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
)

// TestLogOutSurvivesACrash: a user logs out while Redis cannot be reached. The instance is killed
// before it can retry. The database has kept the pending revocation, and the next start on Redis
// applies it, even after starts on other storages.
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
			// The other instance still serves the session. That is why the revocation is kept in
			// the database.
			bob.get(t, there.url+"/me").from(t, "cache")
			launch(t, "-db", database, "-config", config(server.Addr()))
			bob.get(t, there.url+"/me").is(t, http.StatusUnauthorized)
		})
	}
}
