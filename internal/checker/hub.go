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

// Order is what a node is told to do.
type Order struct {
	// Begin and End start and stop the clients for the window of that number; 0 means neither.
	Begin, End int
	// Step sets the node's clock wrong by Offset.
	Step   bool
	Offset time.Duration
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

// hub is what the nodes are connected to: the database, and the orders.
type hub struct {
	database *Database
	batches  chan Batch

	mu    sync.Mutex
	nodes map[int]*member
}

// member is a node as the hub knows it.
type member struct {
	orders chan Order
	gone   chan struct{}
}

var errNodeGone = errors.New("the node is gone")

func newHub(database *Database) *hub {
	return &hub{database: database, batches: make(chan Batch, 64), nodes: make(map[int]*member)}
}

// serve answers nodes until the listener is closed.
func (h *hub) serve(listener net.Listener) error {
	server := rpc.NewServer()
	if err := server.RegisterName("Hub", &hubMethods{h}); err != nil {
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

// leave forgets a node whose process has ended.
func (h *hub) leave(node int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m := h.nodes[node]; m != nil {
		delete(h.nodes, node)
		close(m.gone)
	}
}

// members are the nodes that are there now.
func (h *hub) members() map[int]*member {
	h.mu.Lock()
	defer h.mu.Unlock()
	members := make(map[int]*member, len(h.nodes))
	for node, m := range h.nodes {
		members[node] = m
	}
	return members
}

// order tells a node what to do, unless it is gone.
func (m *member) order(o Order) {
	select {
	case m.orders <- o:
	case <-m.gone:
	}
}

// hubMethods are what nodes call, in the form that net/rpc wants.
type hubMethods struct{ hub *hub }

// Row is a token's row in the database.
type Row struct {
	Version int64
	Gone    bool
}

// Read reads a row.
func (h *hubMethods) Read(token int, row *Row) error {
	row.Version, row.Gone = h.hub.database.Read(token)
	return nil
}

// Put writes a row.
func (h *hubMethods) Put(token int, mark *Mark) error {
	*mark = h.hub.database.Put(token)
	return nil
}

// Delete deletes one row.
func (h *hubMethods) Delete(token int, marks *[]Mark) error {
	*marks = h.hub.database.Delete(func(other int) bool { return other == token })
	return nil
}

// DeleteUser deletes the rows of a user.
func (h *hubMethods) DeleteUser(user int, marks *[]Mark) error {
	*marks = h.hub.database.Delete(func(token int) bool { return userOf(token) == user })
	return nil
}

// DeleteKind deletes all sessions, or all rows.
func (h *hubMethods) DeleteKind(rows bool, marks *[]Mark) error {
	*marks = h.hub.database.Delete(func(token int) bool { return isRow(token) == rows })
	return nil
}

// Clear deletes everything.
func (h *hubMethods) Clear(_ int, marks *[]Mark) error {
	*marks = h.hub.database.Delete(func(int) bool { return true })
	return nil
}

// Join makes a node known; from the next window on it takes part.
func (h *hubMethods) Join(node int, _ *struct{}) error {
	h.hub.mu.Lock()
	defer h.hub.mu.Unlock()
	if h.hub.nodes[node] != nil {
		return fmt.Errorf("node %d is there already", node)
	}
	h.hub.nodes[node] = &member{orders: make(chan Order, 16), gone: make(chan struct{})}
	return nil
}

// Next waits for an order.
func (h *hubMethods) Next(node int, order *Order) error {
	m := h.hub.members()[node]
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

// Report takes what a node saw.
func (h *hubMethods) Report(batch Batch, _ *struct{}) error {
	h.hub.batches <- batch
	return nil
}
