package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// A node that has an L1 tells the others, and uses it when they have had time to notice.
func TestLag(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	lags := func(s *redis.Strategy, usable, waits time.Duration) {
		t.Helper()
		until(t, func() error { // a connection that was just made has the fingerprint read again
			if s.Lag() == usable && s.Propagation() == waits {
				return nil
			}
			return fmt.Errorf("Lag is %v and Propagation %v, want %v and %v", s.Lag(), s.Propagation(), usable, waits)
		})
	}
	options, lag := redis.Options{Addresses: server.Addrs()}, 25*time.Millisecond
	plain, init, log := node(t, options)
	lags(plain, 0, redis.MaxLag)
	mustInit(t, init)
	lags(plain, 0, 0)
	s, init, _ := node(t, options)
	if err := s.DeclareLag(lag); err != nil {
		t.Fatal(err)
	}
	mustInit(t, init)
	began := time.Now()
	lags(s, 0, lag)
	lags(plain, 0, lag)
	lags(s, lag, lag)
	if took := time.Since(began); took < 19*time.Second {
		t.Errorf("it is usable after %v, want two intervals", took)
	}
	if raw, err := server.Do(t.Context(), "GET", fingerprint); err != nil || !strings.Contains(raw.(string), `"lag_ms":25,`) ||
		!strings.Contains(raw.(string), `"usable_ms":25`) {
		t.Errorf("the fingerprint is %v, %v", raw, err)
	}
	later, init, _ := node(t, options)
	if err := later.DeclareLag(10 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	mustInit(t, init)
	lags(later, 10*time.Millisecond, lag)
	if err := later.Destroy(context.Background()); err != nil {
		t.Fatal(err)
	}
	lags(later, 0, redis.MaxLag)
	if text := log.all(); text != "" {
		t.Errorf("logged: %s", text)
	}
}

// A lag has to be one that nodes can agree on.
func TestDeclareLag(t *testing.T) {
	t.Parallel()
	s := on(redis.Options{})(t).(*redis.Strategy)
	for lag, ok := range map[time.Duration]bool{
		0: true, time.Millisecond: true, redis.MaxLag: true,
		-time.Second: false, time.Microsecond: false, redis.MaxLag + 1: false,
	} {
		err := s.DeclareLag(lag)
		var option *driver.OptionError
		if ok && err != nil || !ok && (!errors.As(err, &option) || option.Name != "lag") {
			t.Errorf("DeclareLag(%v) = %v", lag, err)
		}
	}
}
