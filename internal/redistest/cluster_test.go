package redistest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
)

func TestClusterMovesSlots(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 0)
	for _, node := range c.Nodes {
		reply, err := node.Do(t.Context(), "CLUSTER", "INFO")
		if err != nil || !strings.Contains(reply.(string), "cluster_state:ok") || !strings.Contains(reply.(string), "cluster_slots_ok:16384") {
			t.Errorf("%s: %v, %v", node.Addr(), reply, err)
		}
	}
	if masters := c.Masters(); !slices.Equal(masters, c.Nodes) || len(c.Addrs()) != 3 {
		t.Errorf("%d masters, addresses %v", len(masters), c.Addrs())
	}
	if got := c.SlotOf("{42}1"); got != c.SlotOf("{42}2") {
		t.Fatalf("slots %d and %d", got, c.SlotOf("{42}2"))
	}
	from := c.NodeForSlot(c.SlotOf("{42}1"))
	i := slices.Index(c.Nodes, from)
	to, other := c.Nodes[(i+1)%3], c.Nodes[(i+2)%3]
	for key := range 5 {
		wantReply(t, from, "OK", "SET", fmt.Sprint("{42}", key), key)
	}
	wantRedirect := func(node *redistest.Server, kind string, target *redistest.Server, key string) {
		t.Helper()
		want := fmt.Sprintf("%s %d %s", kind, c.SlotOf(key), target.Addr())
		if got, err := node.Do(t.Context(), "GET", key); err == nil || err.Error() != want {
			t.Errorf("GET %s on %s: %v, %v, want %s", key, node.Addr(), got, err, want)
		}
	}
	wantRedirect(to, "MOVED", from, "{42}1")

	m := c.BeginMigration(c.SlotOf("{42}1"), to)
	if m.From != from || m.To != to {
		t.Errorf("from %s to %s", m.From.Addr(), m.To.Addr())
	}
	wantReply(t, from, "1", "GET", "{42}1")
	wantRedirect(from, "ASK", to, "{42}missing")
	if moved := m.MoveKeys(2); moved != 2 {
		t.Errorf("moved %d keys, want 2", moved)
	}
	asked := 0
	for key := range 5 {
		name := fmt.Sprint("{42}", key)
		got, err := from.Do(t.Context(), "GET", name)
		if err == nil {
			if got != fmt.Sprint(key) {
				t.Errorf("%s: %v", name, got)
			}
			continue
		}
		asked++
		wantRedirect(from, "ASK", to, name)
		conn, err := to.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantReply(t, conn, "OK", "ASKING")
		wantReply(t, conn, fmt.Sprint(key), "GET", name)
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if asked != 2 {
		t.Errorf("%d of the keys answer ASK, want 2", asked)
	}
	m.Finish()
	for key := range 5 {
		wantReply(t, to, fmt.Sprint(key), "GET", fmt.Sprint("{42}", key))
	}
	wantRedirect(from, "MOVED", to, "{42}1")
	wantRedirect(other, "MOVED", to, "{42}1")
	if got := c.NodeForSlot(m.Slot); got != to {
		t.Errorf("the slot is with %s", got.Addr())
	}
	c.MigrateSlot(m.Slot, other)
	wantReply(t, other, "1", "GET", "{42}1")

	// Without a replica, only a dead node's own slots are lost.
	to.Kill()
	eventually(t, "only the slots of the dead node are lost", func() bool {
		reply, err := other.Do(t.Context(), "CLUSTER", "INFO")
		// A third of 16384.
		return err == nil && strings.Contains(reply.(string), "cluster_slots_fail:546") && strings.Contains(reply.(string), "cluster_state:ok")
	})
	wantReply(t, other, "1", "GET", "{42}1")
	to.Restart()
	c.WaitReady()
}

func TestClusterPromotes(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 1, redistest.TLS(), redistest.Password("secret"))
	masters := c.Masters()
	if !slices.Equal(masters, c.Nodes[:3]) {
		t.Fatalf("%d masters of %d nodes", len(masters), len(c.Nodes))
	}
	old := c.NodeForSlot(c.SlotOf("key"))
	wantReply(t, old, "OK", "SET", "key", "value")
	wantReply(t, old, int64(1), "WAIT", 1, 0)
	old.Kill()
	promoted := c.WaitForMaster(old)
	if want := c.ReplicasOf(old); len(want) != 1 || promoted != want[0] || c.NodeForSlot(c.SlotOf("key")) != promoted {
		t.Fatalf("promoted %s", promoted.Addr())
	}
	wantReply(t, promoted, "value", "GET", "key")

	old.Restart()
	c.WaitReady()
	info, err := old.Info(t.Context(), "replication")
	if err != nil || info["role"] != "slave" {
		t.Errorf("the old master is a %s, %v", info["role"], err)
	}
	c.Failover(old)
	if got := c.NodeForSlot(c.SlotOf("key")); got != old {
		t.Errorf("after the failover the slot is with %s", got.Addr())
	}
	wantReply(t, old, "value", "GET", "key")
}
