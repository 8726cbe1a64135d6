package sessioncache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/sessioncache"
)

// An invalid token costs nothing, and does not become a pending revocation while the storage fails.
// Otherwise 20,000 of them would end in a Clear of all sessions.
func TestInvalidTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sessioncache.Options{ValidToken: func(token string) bool { return strings.HasPrefix(token, "t-") }})
	check(t, f.Set(t.Context(), f.session("t-1", time.Hour)))
	operations := len(f.recorder.Operations())
	for i := range 20_000 {
		token := fmt.Sprint("x-", i)
		check(t, f.Delete(t.Context(), token))
		if i > 100 {
			continue
		}
		if _, found, err := f.Get(t.Context(), token); found || err != nil {
			t.Fatalf("Get: %t, %v", found, err)
		}
		if _, found, err := f.GetOrLoad(t.Context(), token, func(context.Context) (*sessioncache.CachedSession, error) {
			t.Error("it is loaded")
			return nil, cache.ErrNotFound
		}); found || err != nil {
			t.Fatalf("GetOrLoad: %t, %v", found, err)
		}
		if _, err := f.Update(t.Context(), token, returns(f.session(token, time.Hour))); !errors.Is(err, sessioncache.ErrTokenMismatch) {
			t.Fatalf("Update: %v", err)
		}
		if err := f.Set(t.Context(), f.session(token, time.Hour)); !errors.Is(err, sessioncache.ErrTokenMismatch) {
			t.Fatalf("Set: %v", err)
		}
	}
	if n := len(f.recorder.Operations()) - operations; n > 0 {
		t.Errorf("the storage saw %d operations", n)
	}
	if _, found, err := f.Get(t.Context(), "t-1"); !found || err != nil {
		t.Errorf("a token that is valid: %t, %v", found, err)
	}
	f.recorder.FailNext(drivertest.OpDelete, 1, errors.New("boom"))
	if err := f.Delete(t.Context(), "t-1"); !errors.Is(err, cache.ErrRevocationPending) {
		t.Errorf("a token that is valid, while the storage fails: %v", err)
	}
}
