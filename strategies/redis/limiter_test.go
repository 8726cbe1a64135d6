package redis_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
)

// Limits can be raised and lowered while the strategy is used, for all ways to read and to write.
func TestLimiter(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	s := startWith(t, server.Addr(), cache.Options{Timeout: 2 * time.Second})
	limits := func(size driver.Size) driver.Limits {
		return cache.Options{Namespace: "n", MaxValueBytes: size, Timeout: 2 * time.Second}.WithDefaults().Limits()
	}
	ctx, opts, body := t.Context(), driver.SetOptions{TTL: time.Minute, Tags: []string{"n:t"}}, large("n")
	value := bytes.Repeat(body, 1+(2<<20)/len(body)) // more than the default of 1 MiB
	if err := s.Set(ctx, "n:k", value, opts); !errors.Is(err, driver.ErrValueTooLarge) {
		t.Errorf("Set: %v, want ErrValueTooLarge", err)
	}
	if err := s.CheckLimits(limits(4 * driver.MiB)); err != nil {
		t.Fatal(err)
	}
	s.SetLimits(limits(4 * driver.MiB))
	_, _, lease, err := s.GetOrLease(ctx, "n:l")
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := s.Fill(ctx, lease, value, opts); !stored || err != nil {
		t.Errorf("Fill = %t, %v after the limit was raised", stored, err)
	}
	if err := s.Set(ctx, "n:k", value, opts); err != nil {
		t.Errorf("Set: %v after the limit was raised", err)
	}
	for _, way := range readings {
		for _, key := range []string{"n:k", "n:l"} {
			if got, found, err := way.read(ctx, s, key); !found || err != nil || !bytes.Equal(got, value) {
				t.Errorf("%s: %d bytes, %t, %v", way.name, len(got), found, err)
			}
		}
	}
	s.SetLimits(limits(driver.MiB))
	for _, way := range readings {
		for _, key := range []string{"n:k", "n:l"} {
			if got, found, err := way.read(ctx, s, key); found || err != nil {
				t.Errorf("%s: %d bytes, %t, %v after the limit was lowered", way.name, len(got), found, err)
			}
		}
	}
}
