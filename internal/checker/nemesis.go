package checker

import (
	"context"
	"math/rand/v2"
	"time"
)

// Fault is one way to break things.
type Fault struct {
	Kind string
	// Do breaks something, calls hold once while it is broken, and repairs it.
	Do func(hold func())
	// Lasts is how long hold takes on average.
	Lasts time.Duration
	// Loses: a replica may become master.
	Loses bool
	// Beside: it may begin while another fault lasts.
	Beside bool
}

// calm is the average time without a fault between two faults.
const calm = 700 * time.Millisecond

// torment inflicts one fault after another until end. Each kind of fault occurs equally often.
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

// inflict inflicts one fault for as long as hold takes.
func (r *Run) inflict(fault Fault, hold func()) {
	defer r.Log.begin(fault.Kind)()
	if fault.Loses {
		defer r.Log.failover()()
	}
	fault.Do(hold)
}

// about returns a random duration between d/2 and 3d/2.
func about(random *rand.Rand, d time.Duration) time.Duration {
	return d/2 + time.Duration(random.Int64N(int64(d)))
}

// wait waits for d. It reports false if ctx ended first.
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
