package redis

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
)

// While a large value is on its way, its readers take up no place of the bulkhead, which others
// need.
func TestLargeValuesTakeNoPlaces(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	proxy := redistest.NewProxy(t, redistest.Start(t).Addr())
	s, err := New(Options{Addresses: []string{proxy.Addr()}})
	if err == nil {
		err = s.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Namespace: "n", Timeout: 10 * time.Second}))
	}
	if err == nil {
		err = s.Set(t.Context(), "n:k", make([]byte, inline+1), driver.SetOptions{TTL: time.Minute})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	for name, read := range map[string]func() error{
		"the script": func() error { _, _, err := s.Get(t.Context(), "n:k"); return err },
		"MGET":       func() error { _, _, err := s.GetHinted(t.Context(), "n:k", nil); return err },
		"the lease":  func() error { _, _, _, err := s.GetOrLease(t.Context(), "n:k"); return err },
	} {
		held, done := proxy.HoldReplyFunc(func(args []string) bool {
			return args[0] == "GET" && strings.HasPrefix(args[1], "n:b:")
		}), make(chan error, 1)
		go func() { done <- read() }()
		<-held.Arrived()
		if n := s.store.Load().admission.bulkheads.lanes[0].inside.Load(); n != 0 {
			t.Errorf("%s: %d places are taken", name, n)
		}
		held.Release()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Bytes under way are bounded by how long they take, but for one that is larger by itself; who
// waits gets its turn, in order, and who has left none.
func TestRoomForBodies(t *testing.T) {
	t.Parallel()
	const size = 100 << 10
	b := &transfers{timeout: 100 * time.Millisecond, room: 3 * size}
	ctx, left := t.Context(), make(chan error, 1)
	enter := func(size int64) <-chan error {
		done := make(chan error, 1)
		go func() { done <- b.enter(ctx, ctx, size) }()
		return done
	}
	waiting := func(n int) {
		for queued := -1; queued != n; runtime.Gosched() {
			b.mu.Lock()
			queued = len(b.queue)
			b.mu.Unlock()
		}
	}
	if err := <-enter(10 * size); err != nil { // nothing else is under way
		t.Fatal(err)
	}
	gone, leave := context.WithCancel(ctx)
	go func() { left <- b.enter(ctx, gone, size) }()
	waiting(1)
	first := enter(size)
	waiting(2)
	second := enter(size)
	waiting(3)
	leave()
	if err := <-left; err == nil {
		t.Error("one that has left has entered")
	}
	waiting(2)
	b.leave(10*size, time.Millisecond, nil)
	for _, done := range []<-chan error{first, second} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for took, want := range map[time.Duration]func(room int64) bool{
		time.Millisecond:       func(room int64) bool { return room == maxInFlight },
		40 * time.Millisecond:  func(room int64) bool { return room == 3*size },
		400 * time.Millisecond: func(room int64) bool { return room == minInFlight },
	} {
		b := &transfers{timeout: 100 * time.Millisecond, room: 3 * size}
		for range 1000 {
			if err := b.enter(ctx, ctx, size); err != nil {
				t.Fatal(err)
			}
			b.leave(size, took, nil)
		}
		if !want(b.room) || b.underway != 0 {
			t.Errorf("bodies that take %v: room for %d bytes, %d under way", took, b.room, b.underway)
		}
	}
}
