// Package task runs goroutines that end with Stop.
package task

import (
	"context"
	"errors"
	"sync"
)

// Group keeps account of goroutines, so that none outlives Close unnoticed. It is safe for
// concurrent use. Before Open, and after Close, it starts none.
type Group struct {
	mu  sync.Mutex
	run *run // nil before Open
}

// run is what happens between an Open and the next Close. It has an account of its own, because a
// goroutine that ignores its context may end long after the Group was opened again.
type run struct {
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// Open lets goroutines start.
func (g *Group) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.run = &run{}
	g.run.ctx, g.run.cancel = context.WithCancel(context.Background())
}

// Start runs work in a goroutine of its own, in a context with the values of parent. That context
// does not end with parent, but with cancel and with Close. life ends with Close. Start reports
// false if the Group is closed.
func (g *Group) Start(parent context.Context, work func(context.Context)) (life context.Context, cancel context.CancelFunc, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	run := g.run
	if run == nil || run.ctx.Err() != nil {
		return nil, nil, false
	}
	ctx, cancel := ValuesOf(parent, run.ctx)
	run.running.Add(1)
	go func() {
		defer run.running.Done()
		defer cancel()
		work(ctx)
	}()
	return run.ctx, cancel, true
}

// Close ends the contexts of all goroutines, and waits for them until ctx ends.
func (g *Group) Close(ctx context.Context) error {
	g.mu.Lock()
	run := g.run
	run.cancel()
	g.mu.Unlock()
	done := make(chan struct{})
	go func() {
		run.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("a loader did not end when it was cancelled"), ctx.Err())
	}
}

// ValuesOf returns a context with the values of one context, and the end of another.
func ValuesOf(parent, life context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}
