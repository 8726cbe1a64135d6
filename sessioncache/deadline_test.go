package sessioncache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/sessioncache"
)

// V16: the deadline turns a slow cache into a miss and ends the operation.
func TestSlowReadIsAMiss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sessioncache.Options{})
		check(t, f.Set(t.Context(), f.session("token", time.Hour)))
		f.recorder.DelayNext(drivertest.OpGet, 1, time.Hour)
		began, loads := time.Now(), 0
		_, found, err := f.GetOrLoad(t.Context(), "token", func(context.Context) (*sessioncache.CachedSession, error) {
			loads++
			return f.session("token", time.Hour), nil
		})
		if err != nil || !found || loads != 1 {
			t.Errorf("found %t, err %v, %d loads; want the session from the database", found, err, loads)
		}
		if took := time.Since(began); took != 50*time.Millisecond {
			t.Errorf("the slow cache cost %v, want its timeout of 50ms", took)
		}
	})
}

// A write past its deadline has no effect: after a log-out in between, the session is not there.
func TestLateWriteIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sessioncache.Options{})
		release := f.recorder.Block(drivertest.OpFill)
		began := time.Now()
		_, found, err := f.GetOrLoad(t.Context(), "token", returns(f.session("token", time.Hour)))
		if err != nil || !found {
			t.Fatalf("found %t, err %v", found, err)
		}
		if took := time.Since(began); took != 50*time.Millisecond {
			t.Errorf("the slow write cost %v, want its timeout of 50ms", took)
		}
		check(t, f.Delete(t.Context(), "token"))
		release()
		<-time.After(time.Minute)
		synctest.Wait()
		if f.found(t, "token") {
			t.Error("the late write was stored after the deletion")
		}
	})
}

// The same holds for a plain Set.
func TestLateSetIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, sessioncache.Options{})
		release := f.recorder.Block(drivertest.OpSet)
		if err := f.Set(t.Context(), f.session("token", time.Hour)); err == nil {
			t.Error("Set returned nil for a write that was not done")
		}
		check(t, f.Delete(t.Context(), "token"))
		release()
		<-time.After(time.Minute)
		synctest.Wait()
		if f.found(t, "token") {
			t.Error("the late Set was stored after the deletion")
		}
	})
}
