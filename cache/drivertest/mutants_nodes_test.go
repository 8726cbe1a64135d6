package drivertest_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// near is a node that serves what it has read from its own memory for a while.
type near struct {
	*reference

	keeps time.Duration // in real time
	says  time.Duration // its Propagation

	mu   sync.Mutex
	read map[string]copied
}

type copied struct {
	value []byte
	until time.Time
}

func (n *near) Get(ctx context.Context, key string) ([]byte, bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c, there := n.read[key]; there && time.Now().Before(c.until) {
		return append([]byte(nil), c.value...), true, nil
	}
	value, found, err := n.reference.Get(ctx, key)
	if found && err == nil {
		if n.read == nil {
			n.read = make(map[string]copied)
		}
		n.read[key] = copied{append([]byte(nil), value...), time.Now().Add(n.keeps)}
	}
	return value, found, err
}

// Propagation implements driver.Propagator.
func (n *near) Propagation() time.Duration { return n.says }

// Init and Destroy leave the storage alone, which outlives the nodes.
func (n *near) Init(context.Context, driver.Injector) error { return nil }
func (n *near) Destroy(context.Context) error               { return nil }

// beside makes another node on the storage of one.
func beside(keeps, says time.Duration) drivertest.Option {
	return drivertest.Another(func(_ testing.TB, strategy driver.Strategy) driver.Strategy {
		return &near{reference: strategy.(interface{ storage() *reference }).storage(), keeps: keeps, says: says}
	})
}

func (r *reference) storage() *reference { return r }

var nodeMutants = []mutant{{
	name: "node that serves for longer than it says", kills: "Nodes/Delete Nodes/InvalidateTags Nodes/Clear Nodes/Set Nodes/Fill",
	new:     func() driver.Strategy { return newReference() },
	options: []drivertest.Option{beside(time.Minute, time.Millisecond)},
}}

// A node that serves what was revoked for no longer than it says is fine.
func TestNodes(t *testing.T) {
	t.Parallel()
	const lag = 5 * time.Millisecond
	drivertest.Run(t, func(testing.TB) driver.Strategy { return &lagged{newReference(), lag} }, drivertest.Capacity(driver.MiB), drivertest.Effort(10),
		beside(lag, lag))
}

// lagged is the node that revokes. It waits for the others.
type lagged struct {
	*reference

	says time.Duration
}

// Propagation implements driver.Propagator.
func (l *lagged) Propagation() time.Duration { return l.says }
