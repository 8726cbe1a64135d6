package checker

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/rpc"
	"os"
	"sync"
	"time"
)

// nodeVariable holds the [Spec] of a node in the environment of its process.
const nodeVariable = "FXCACHE_CHECKER_NODE"

// RunIfNode runs this process as a node if it was started as one. In that case it does not return.
// A binary that starts a [Fleet] must call it before anything else.
func RunIfNode() {
	text, ok := os.LookupEnv(nodeVariable)
	if !ok {
		return
	}
	var spec Spec
	err := json.Unmarshal([]byte(text), &spec)
	if err == nil {
		err = runNode(spec)
	}
	// The coordinator is gone or was never there, so the node has nothing to do.
	fmt.Fprintf(os.Stderr, "node %d: %v\n", spec.Node, err)
	os.Exit(1)
}

// node carries out orders until the coordinator is gone.
type node struct {
	Spec
	*cached
	clock       *steppingClock
	coordinator *rpc.Client
	stop        chan struct{} // of the window's clients
	reloads     chan []string
}

func runNode(spec Spec) error {
	coordinator, err := rpc.Dial("unix", spec.Socket)
	if err != nil {
		return err
	}
	n := &node{Spec: spec, clock: &steppingClock{}, coordinator: coordinator, reloads: make(chan []string, 16)}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if n.cached, err = spec.open(ctx, n.clock); err != nil {
		return err
	}
	if err := coordinator.Call("Coordinator.Join", n.Node, nil); err != nil {
		return err
	}
	go n.reload()
	for {
		var order Order
		if err := coordinator.Call("Coordinator.Next", n.Node, &order); err != nil {
			return err
		}
		switch {
		case order.Step:
			n.clock.step(order.Offset)
		case len(order.Addresses) > 0:
			n.reloads <- order.Addresses
		case order.Begin > 0:
			n.stop = make(chan struct{})
			go n.window(order.Begin, n.stop)
		case order.End > 0:
			close(n.stop)
		}
	}
}

// window runs the clients and reports what they saw.
func (n *node) window(number int, stop <-chan struct{}) {
	clients := make([]*client, n.Clients)
	var working sync.WaitGroup
	for i := range clients {
		id := n.FirstClient + i
		c := &client{
			cached: n.cached, database: n.coordinator, node: n.Node, id: id, window: number, errors: make(map[string]int),
			random: rand.New(rand.NewPCG(n.Seed, uint64(number)<<32|uint64(n.Node)<<8|uint64(id))), //nolint:gosec // repeatable on purpose
		}
		clients[i] = c
		working.Go(func() { c.work(stop, n.Quota) })
	}
	working.Wait()
	batch := Batch{Node: n.Node, Window: number, Stats: n.service.Stats(), Errors: make(map[string]int)}
	for _, c := range clients {
		batch.Events = append(batch.Events, c.events...)
		for text := range maps.Keys(c.errors) {
			batch.Errors[text] += c.errors[text]
		}
	}
	if err := n.coordinator.Call("Coordinator.Report", batch, nil); err != nil {
		fmt.Fprintf(os.Stderr, "node %d: %v\n", n.Node, err)
		os.Exit(1)
	}
}

// reload changes from one Redis to another while the clients work, as a reload of the configuration
// does.
func (n *node) reload() {
	for addresses := range n.reloads {
		n.Addresses = addresses
		store, err := n.store(n.clock)
		if err == nil {
			err = n.service.Reconfigure(context.Background(), nil, store)
		}
		if err != nil { // a dead Redis is no reason to refuse it
			fmt.Fprintf(os.Stderr, "node %d does not take %v: %v\n", n.Node, addresses, err)
			os.Exit(1)
		}
	}
}
