package checker_test

import (
	"math/rand/v2"
	"testing"

	"github.com/fxcache/fxcache/internal/checker"
)

// TestJudgesAgree shows random histories to both judges. The two were written independently from
// the guarantee and must find the same windows illegal.
func TestJudgesAgree(t *testing.T) {
	t.Parallel()
	legal, illegal := 0, 0
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 0))
		s := newScript()
		for range 3 {
			before := len(s.Violations)
			s.window.Lossy = random.IntN(4) == 0
			chance(s, random)
			s.judge()
			if len(s.Violations) > before {
				illegal++
			} else {
				legal++
			}
		}
		if s.Disagreed > 0 || s.Unknown > 0 {
			t.Fatalf("history %d: the judges disagree about %d windows, and %d are unknown", seed, s.Disagreed, s.Unknown)
		}
	}
	t.Logf("%d legal windows, %d illegal ones", legal, illegal)
	if legal < 500 || illegal < 500 {
		t.Errorf("%d legal windows, %d illegal ones: too few of one kind", legal, illegal)
	}
}

// chance writes a window of random operations. Reads return one of the latest versions.
func chance(s *script, random *rand.Rand) {
	var running []*checker.Event
	for step := 0; step < 24 || len(running) > 0; step++ {
		if step < 24 && len(running) < 4 && random.IntN(2) == 0 {
			kind := []checker.Kind{checker.Get, checker.Get, checker.Put, checker.Revoke}[random.IntN(4)]
			running = append(running, s.start(random.IntN(2), kind))
			continue
		}
		if len(running) == 0 {
			continue
		}
		i := random.IntN(len(running))
		e := running[i]
		switch {
		case e.Kind == checker.Get:
			version := max(0, s.Top()[token]-int64(random.IntN(3)/2))
			if random.IntN(3) == 0 {
				version = none
			}
			s.returns(e, version)
		case len(e.Acked) == 0:
			s.commit(e)
			continue
		default:
			e.Outcome = []checker.Outcome{checker.Done, checker.Done, checker.Pending, checker.Failed}[random.IntN(4)]
			s.done(e)
		}
		running = append(running[:i], running[i+1:]...)
	}
}
