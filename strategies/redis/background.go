package redis

import (
	"context"
	"fmt"
	"sync"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/panics"
)

// background is the goroutines that a client has started. They end with it.
type background struct {
	mu     sync.Mutex
	life   context.Context //nolint:containedctx // ends with stop
	cancel context.CancelFunc
	group  sync.WaitGroup
}

func newBackground() *background {
	b := new(background)
	b.life, b.cancel = context.WithCancel(context.Background())
	return b
}

// run starts work, which must return soon after life ends. It returns false, and starts nothing, if
// that has ended already.
func (b *background) run(work func(life context.Context)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.life.Err() != nil {
		return false
	}
	b.group.Go(func() { work(b.life) })
	return true
}

// stop ends life, and waits until all goroutines have returned, but not beyond ctx.
func (b *background) stop(ctx context.Context) error {
	b.mu.Lock()
	b.cancel()
	b.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		b.group.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inTime returns what work returns, or false if ctx ends first. Work then goes on without its
// caller, and keeps its place in room. If work panics, which an application's own client may do,
// the panic is the caller's.
func inTime[T any](ctx context.Context, room chan struct{}, work func() T) (result T, ok bool) {
	select {
	case room <- struct{}{}:
	case <-ctx.Done():
		return result, false
	}
	type end struct {
		result   T
		panicked any
	}
	done := make(chan end, 1)
	go func() {
		var e end
		defer func() {
			e.panicked = recover()
			<-room
			done <- e
		}()
		e.result = work()
	}()
	select {
	case e := <-done:
		if e.panicked != nil {
			panic(e.panicked)
		}
		return e.result, true
	case <-ctx.Done():
		return result, false
	}
}

// protect turns a panic of run into an error. An application's own client may panic, and in a
// goroutine of ours nobody else would recover.
func protect(run func() error) (err error) {
	defer panics.CatchAs(&err, func(value any) error {
		return fmt.Errorf("%w: the client panicked with a %T", driver.ErrUnavailable, value)
	})
	return run()
}
