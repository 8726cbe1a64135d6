package checker

import (
	"context"
	"math/rand/v2"
	"time"
)

// Fault is one way to break things.
type Fault struct {
	Kind string
	// Do breaks something, calls hold once while it is broken, and mends it.
	Do func(hold func())
	// Lasts is how long hold takes on average.
	Lasts time.Duration
	// Loses: a replica may become master.
	Loses bool
	// Beside: it may come while another fault lasts.
	Beside bool
}

// calm is how long nothing is broken between two faults, on average.
const calm = 700 * time.Millisecond

// torment breaks one thing after the other until the end, each kind as often as the others.
func (r *Run) torment(ctx context.Context, faults []Fault, end time.Time) {
	random := rand.New(rand.NewPCG(r.Seed, 1)) //nolint:gosec // repeatable on purpose
	var order []int
	for wait(ctx, min(time.Until(end), about(random, calm))) && time.Now().Before(end) {
		if len(faults) == 0 {
			continue
		}
		if len(order) == 0 {
			order = random.Perm(len(faults))
		}
		fault := faults[order[0]]
		order = order[1:]
		r.inflict(fault, func() {
			if beside := faults[random.IntN(len(faults))]; beside.Beside && !fault.Beside {
				r.inflict(beside, func() { wait(ctx, about(random, beside.Lasts)) })
			}
			wait(ctx, about(random, fault.Lasts))
		})
	}
}

// inflict has one fault for as long as hold takes.
func (r *Run) inflict(fault Fault, hold func()) {
	defer r.Log.begin(fault.Kind)()
	if fault.Loses {
		defer r.Log.failover()()
	}
	fault.Do(hold)
}

// about is a duration between half of d and three halves.
func about(random *rand.Rand, d time.Duration) time.Duration {
	return d/2 + time.Duration(random.Int64N(int64(d)))
}

// wait waits, and reports whether it was not in vain.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
