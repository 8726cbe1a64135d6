package backoff_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/internal/backoff"
)

func TestNext(t *testing.T) {
	t.Parallel()
	b := backoff.Backoff{First: 10, Last: 35}
	var got []time.Duration
	for range 4 {
		got = append(got, b.Next())
	}
	b.Reset()
	if got = append(got, b.Next()); !slices.Equal(got, []time.Duration{10, 20, 35, 35, 10}) {
		t.Errorf("pauses: %v", got)
	}
	jittered := backoff.Backoff{First: time.Second, Last: time.Second, Jitter: true}
	for range 1000 {
		if pause := jittered.Next(); pause < time.Second/2 || pause > time.Second {
			t.Fatalf("a pause of %v, with jitter", pause)
		}
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := backoff.Backoff{First: time.Second, Last: time.Minute}
		began := time.Now()
		if !b.Wait(t.Context()) || time.Since(began) != time.Second {
			t.Errorf("waited for %v", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		began = time.Now()
		if b.Wait(ctx) || time.Since(began) != time.Millisecond {
			t.Errorf("waited for %v, though the context had ended", time.Since(began))
		}
	})
}
