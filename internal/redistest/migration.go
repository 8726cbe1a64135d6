package redistest

import (
	"context"
	"fmt"
	"slices"
)

// Migration is a slot on its way from one master to another. Between BeginMigration and Finish the
// source answers ASK for keys that it does not have, and the target serves them after ASKING.
type Migration struct {
	Slot     int
	From, To *Server

	cluster *Cluster
}

// MigrateSlot moves slot with all its keys to the master to, and returns when all nodes know.
func (c *Cluster) MigrateSlot(slot int, to *Server) {
	c.t.Helper()
	c.BeginMigration(slot, to).Finish()
}

// BeginMigration begins to migrate slot from its owner to the master to. It moves no key yet.
func (c *Cluster) BeginMigration(slot int, to *Server) *Migration {
	c.t.Helper()
	m := &Migration{Slot: slot, From: c.NodeForSlot(slot), To: to, cluster: c}
	if m.From == to {
		c.t.Fatalf("redistest: %s owns slot %d already", to.Addr(), slot)
	}
	// The target must come first: after the next line the source redirects clients to it.
	m.do(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", m.id(m.From))
	m.do(m.From, "CLUSTER", "SETSLOT", slot, "MIGRATING", m.id(to))
	return m
}

// MoveKeys moves up to n keys of the slot. It returns how many it moved, which is 0 if none was
// left.
func (m *Migration) MoveKeys(n int) (moved int) {
	m.cluster.t.Helper()
	keys, _ := m.do(m.From, "CLUSTER", "GETKEYSINSLOT", m.Slot, n).([]any)
	if len(keys) == 0 {
		return 0
	}
	m.Move(keys...)
	return len(keys)
}

// Move moves those of keys that exist.
func (m *Migration) Move(keys ...any) {
	m.cluster.t.Helper()
	move := []any{"MIGRATE", "127.0.0.1", m.To.port, "", 0, doTimeout.Milliseconds(), "AUTH2", AdminUser, ownPassword, "KEYS"}
	m.do(m.From, append(move, keys...)...)
}

// Finish moves the remaining keys, gives the slot to its new owner, and returns when all nodes
// know.
func (m *Migration) Finish() {
	t := m.cluster.t
	t.Helper()
	for moved := m.MoveKeys(100); moved > 0; {
		moved = m.MoveKeys(100)
	}
	// The target must come first. Otherwise the slot would have no owner for a moment.
	m.do(m.To, "CLUSTER", "SETSLOT", m.Slot, "NODE", m.id(m.To))
	m.do(m.From, "CLUSTER", "SETSLOT", m.Slot, "NODE", m.id(m.To))
	err := await(t.Context(), func(ctx context.Context) error {
		for _, node := range running(m.cluster.Nodes) {
			view, err := m.cluster.view(ctx, node)
			if err != nil {
				return err
			}
			if !view[m.id(m.To)].owns(m.Slot) {
				return fmt.Errorf("%s does not know of the new owner", node.Addr())
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("redistest: migration of slot %d: %v", m.Slot, err)
	}
}

func (m *Migration) id(node *Server) string {
	return m.cluster.ids[slices.Index(m.cluster.Nodes, node)]
}

func (m *Migration) do(node *Server, args ...any) any {
	m.cluster.t.Helper()
	reply, err := node.Do(m.cluster.t.Context(), args...)
	if err != nil {
		m.cluster.t.Fatalf("redistest: migration of slot %d: %s: %v: %v", m.Slot, node.Addr(), args[:2], err)
	}
	return reply
}
