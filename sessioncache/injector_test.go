package sessioncache_test

import (
	"testing"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache"
)

// injector returns the container of service, as the module would hand it to Init.
func injector(t testing.TB, service *cache.Service) cache.Injector {
	t.Helper()
	container := dig.New()
	if err := service.ProvideTo(container); err != nil {
		t.Fatal(err)
	}
	return container
}
