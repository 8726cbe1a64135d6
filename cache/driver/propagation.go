package driver

import "time"

// Propagator is an optional part of a Strategy that also keeps entries in the memory of each node.
// For a while, another node may then serve what a revocation has ended. The Service waits for that,
// so that a revocation that returned nil holds on every node.
type Propagator interface {
	// Propagation is how long after the storage has answered a Set, Fill, Delete, InvalidateTags or
	// Clear another node may still serve what that has ended. With 0 or less, no node does. It is
	// asked after each of them, from many goroutines, and may change. It must not wait.
	//
	// The Service waits for a tenth longer than that, because clocks do not run equally fast. It
	// does so once for each call of the application, and holds no lease meanwhile. It does not wait
	// for the fills of loads, which replace what has ended by itself.
	Propagation() time.Duration
}
