package sabotage_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/fxcache/fxcache/internal/sabotage"
)

func TestGuards(t *testing.T) {
	t.Parallel()
	seen := map[sabotage.Guard]bool{}
	for _, guard := range sabotage.Guards() {
		if seen[guard] || guard == "" {
			t.Errorf("%q: a guard has a name of its own", guard)
		}
		seen[guard] = true
		if sabotage.Off(guard) {
			t.Errorf("%s is off, and nobody asked for it", guard)
		}
		if got := sabotage.Without("a b c", guard, "b", "x"); got != "a b c" {
			t.Errorf("%s is not off, and the text became %q", guard, got)
		}
	}
}

// Without the tag, what a guard costs is nothing: compare the two with -bench.
func BenchmarkOff(b *testing.B) {
	for _, bench := range []struct {
		name string
		good func(a, b uint64) bool
	}{
		{"guarded", func(a, b uint64) bool { return a <= b || sabotage.Off(sabotage.Fence) }},
		{"bare", func(a, b uint64) bool { return a <= b }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				if bench.good(1, 2) {
					n++
				}
			}
			if n == 0 {
				b.Error("1 is not above 2")
			}
		})
	}
}

// Who only stops waiting hears of the deadline, and the operation is done all the same.
func TestRace(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var steps []string
	begun, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() { <-begun; cancel() }()
	err := sabotage.Race(ctx, func(ctx context.Context) error {
		defer close(done)
		close(begun)
		<-release
		steps = append(steps, "done")
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Race returned %v", err)
	}
	close(release)
	<-done
	if !slices.Equal(steps, []string{"done"}) {
		t.Errorf("the operation was not done: %v", steps)
	}
}
