package checker

import (
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// Order tells a node what to do.
type Order struct {
	// Begin and End start and stop the clients for the window with that number. 0 means neither.
	Begin, End int
	// Step sets the error of the node's clock to Offset.
	Step   bool
	Offset time.Duration
	// Addresses are those of the Redis to use from now on. None means no change.
	Addresses []string
}

// Batch is what a node reports after a window.
type Batch struct {
	Node, Window int
	Events       []Event
	// Stats are those of the cache.Service so far.
	Stats cache.Stats
	// Errors counts what operations returned, by text.
	Errors map[string]int
}

// coordinator serves the nodes: it holds the database and hands out orders.
type coordinator struct {
	database *Database
	batches  chan Batch

	mu    sync.Mutex
	nodes map[int]*member
}

// member is a node as the coordinator knows it.
type member struct {
	orders chan Order
	gone   chan struct{}
}

var errNodeGone = errors.New("the node is gone")

func newCoordinator(database *Database) *coordinator {
	return &coordinator{database: database, batches: make(chan Batch, 64), nodes: make(map[int]*member)}
}

// serve answers nodes until the listener is closed.
func (c *coordinator) serve(listener net.Listener) error {
	server := rpc.NewServer()
	if err := server.RegisterName("Coordinator", &coordinatorMethods{c}); err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go server.ServeConn(conn)
		}
	}()
	return nil
}

// leave removes a node whose process has ended.
func (c *coordinator) leave(node int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.nodes[node]; m != nil {
		delete(c.nodes, node)
		close(m.gone)
	}
}

// members returns the nodes that have joined and not left.
func (c *coordinator) members() map[int]*member {
	c.mu.Lock()
	defer c.mu.Unlock()
	members := make(map[int]*member, len(c.nodes))
	for node, m := range c.nodes {
		members[node] = m
	}
	return members
}

// order hands an order to a node, unless the node is gone.
func (m *member) order(o Order) {
	select {
	case m.orders <- o:
	case <-m.gone:
	}
}

// coordinatorMethods are what nodes call, in the form that net/rpc wants.
type coordinatorMethods struct{ coordinator *coordinator }

// Row is a token's row in the database.
type Row struct {
	Version int64
	Gone    bool
}

// Read reads a row.
func (c *coordinatorMethods) Read(token int, row *Row) error {
	row.Version, row.Gone = c.coordinator.database.Read(token)
	return nil
}

// Put writes a row.
func (c *coordinatorMethods) Put(token int, mark *Mark) error {
	*mark = c.coordinator.database.Put(token)
	return nil
}

// Delete deletes one row.
func (c *coordinatorMethods) Delete(token int, marks *[]Mark) error {
	*marks = c.coordinator.database.Delete(func(other int) bool { return other == token })
	return nil
}

// DeleteUser deletes the rows of a user.
func (c *coordinatorMethods) DeleteUser(user int, marks *[]Mark) error {
	*marks = c.coordinator.database.Delete(func(token int) bool { return userOf(token) == user })
	return nil
}

// DeleteKind deletes all sessions, or all rows.
func (c *coordinatorMethods) DeleteKind(rows bool, marks *[]Mark) error {
	*marks = c.coordinator.database.Delete(func(token int) bool { return isRow(token) == rows })
	return nil
}

// Clear deletes everything.
func (c *coordinatorMethods) Clear(_ int, marks *[]Mark) error {
	*marks = c.coordinator.database.Delete(func(int) bool { return true })
	return nil
}

// Join registers a node. It takes part from the next window on.
func (c *coordinatorMethods) Join(node int, _ *struct{}) error {
	c.coordinator.mu.Lock()
	defer c.coordinator.mu.Unlock()
	if c.coordinator.nodes[node] != nil {
		return fmt.Errorf("node %d is there already", node)
	}
	c.coordinator.nodes[node] = &member{orders: make(chan Order, 16), gone: make(chan struct{})}
	return nil
}

// Next waits for an order.
func (c *coordinatorMethods) Next(node int, order *Order) error {
	m := c.coordinator.members()[node]
	if m == nil {
		return errNodeGone
	}
	select {
	case *order = <-m.orders:
		return nil
	case <-m.gone:
		return errNodeGone
	}
}

// Report receives what a node saw.
func (c *coordinatorMethods) Report(batch Batch, _ *struct{}) error {
	c.coordinator.batches <- batch
	return nil
}
