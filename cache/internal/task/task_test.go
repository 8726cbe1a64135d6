package task_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/cache/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCloseWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g task.Group
		g.Open()
		ended := false
		life, _, ok := g.Start(t.Context(), func(ctx context.Context) {
			<-ctx.Done()
			<-time.After(time.Second) // what a goroutine still has to do
			ended = true
		})
		if !ok || life.Err() != nil {
			t.Fatalf("Start: %v, life %v", ok, life)
		}
		if err := g.Close(t.Context()); err != nil || !ended || life.Err() == nil {
			t.Errorf("Close: error %v, goroutine ended: %v, life: %v", err, ended, life.Err())
		}
	})
}

func TestStartIsRefused(t *testing.T) {
	t.Parallel()
	var g task.Group
	refused := func(when string) {
		t.Helper()
		if _, _, ok := g.Start(t.Context(), func(context.Context) { t.Errorf("%s: work runs", when) }); ok {
			t.Errorf("%s: Start reports true", when)
		}
	}
	refused("before Open")
	g.Open()
	if err := g.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused("after Close")
	g.Open()
	ran := make(chan struct{})
	if _, _, ok := g.Start(t.Context(), func(context.Context) { close(ran) }); !ok {
		t.Fatal("after another Open: Start reports false")
	}
	<-ran
	if err := g.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestCloseGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g task.Group
		g.Open()
		release := make(chan struct{})
		g.Start(t.Context(), func(context.Context) { <-release }) // ignores its context
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want ctx's", err)
		}
		// The next run does not wait for it.
		g.Open()
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
		close(release)
	})
}

func TestContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type name struct{}
		parent, leave := context.WithCancel(context.WithValue(t.Context(), name{}, "value"))
		var g task.Group
		g.Open()
		var got context.Context
		_, cancel, _ := g.Start(parent, func(ctx context.Context) {
			got = ctx
			<-ctx.Done()
		})
		leave()
		synctest.Wait()
		if got.Value(name{}) != "value" || got.Err() != nil {
			t.Errorf("value %v, error %v after the parent's end, want the parent's value and none", got.Value(name{}), got.Err())
		}
		cancel()
		synctest.Wait()
		if got.Err() == nil {
			t.Error("cancel does not end the context")
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
