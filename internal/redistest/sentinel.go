package redistest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// MasterName is the name under which sentinels know their master.
const MasterName = "mymaster"

// Sentinel is a master with replicas, watched by sentinels.
type Sentinel struct {
	// Nodes hold data; the first one started as master. Roles change with failovers; see Master.
	Nodes []*Server
	// Sentinels hold no data, need no password, and accept no AdminUser.
	Sentinels []*Server

	t testing.TB
}

// StartSentinel starts one master with replicas (0: two) and sentinels (0: three), of which a
// majority decides, and returns when replicas are synced and all sentinels know everybody. It ends
// with the test. A master that does not answer for 1 s counts as down. Its successor is elected
// about 2 s later.
func StartSentinel(t testing.TB, replicas, sentinels int, options ...Option) *Sentinel {
	t.Helper()
	Require(t)
	if replicas == 0 {
		replicas = 2
	}
	if sentinels == 0 {
		sentinels = 3
	}
	settings := newSettings(t, options)
	s := &Sentinel{t: t}
	master := newServer(t, settings)
	startAll(t, master)
	s.Nodes = append(s.Nodes, master)
	for range replicas {
		s.Nodes = append(s.Nodes, newServer(t, settings, fmt.Sprint("replicaof 127.0.0.1 ", master.port)))
	}
	startAll(t, s.Nodes[1:]...)
	// Sentinels ask the master for its replicas at once and then rarely. So the replicas must come
	// first.
	if err := await(t.Context(), s.synced); err != nil {
		t.Fatalf("redistest: replicas are not synced: %v", err)
	}
	s.startSentinels(settings, sentinels)
	s.WaitReady()
	return s
}

func (s *Sentinel) startSentinels(settings *settings, count int) {
	s.t.Helper()
	for range count {
		sentinel := newServer(s.t, settings,
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d %d", MasterName, s.Nodes[0].port, count/2+1),
			"sentinel down-after-milliseconds "+MasterName+" 1000",
			// After a failed failover, the next one starts after twice this time.
			"sentinel failover-timeout "+MasterName+" 3000",
			"sentinel auth-user "+MasterName+" "+AdminUser,
			"sentinel auth-pass "+MasterName+" "+ownPassword,
		)
		sentinel.sentinel = true
		s.Sentinels = append(s.Sentinels, sentinel)
	}
	startAll(s.t, s.Sentinels...)
	s.hurry(s.Sentinels...)
}

// hurry makes sentinels poll and publish more often than every 10 s and 2 s. Their configuration
// has no setting for that. They forget it on a restart. Then they are slow, but still correct.
func (s *Sentinel) hurry(sentinels ...*Server) {
	s.t.Helper()
	err := onAll(s.t.Context(), sentinels, "SENTINEL", "DEBUG",
		"info-period", 500, "publish-period", 200, "ping-period", 200, "ask-period", 200)
	if err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
}

// SentinelAddrs returns the addresses of the sentinels, with which a client is configured.
func (s *Sentinel) SentinelAddrs() []string { return addrs(s.Sentinels) }

// Addrs returns the addresses of the servers that hold data.
func (s *Sentinel) Addrs() []string { return addrs(s.Nodes) }

// Master returns the server that the sentinels name as master now. They may name a dead one until
// there is a successor: see WaitForMaster.
func (s *Sentinel) Master() *Server {
	s.t.Helper()
	var master *Server
	err := await(s.t.Context(), func(ctx context.Context) (err error) {
		master, err = s.agreed(ctx)
		return err
	})
	if err != nil {
		s.t.Fatalf("redistest: no master: %v", err)
	}
	return master
}

// Replicas returns the servers that hold data and are not the master now.
func (s *Sentinel) Replicas() []*Server {
	s.t.Helper()
	master := s.Master()
	return slices.DeleteFunc(slices.Clone(s.Nodes), func(node *Server) bool { return node == master })
}

// agreed returns the server that all running sentinels name as master.
func (s *Sentinel) agreed(ctx context.Context) (master *Server, err error) {
	for _, sentinel := range running(s.Sentinels) {
		reply, err := sentinel.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MasterName)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(s.Nodes, func(node *Server) bool {
			return slices.Equal(reply.([]any), []any{"127.0.0.1", fmt.Sprint(node.port)})
		})
		if i < 0 || master != nil && master != s.Nodes[i] {
			return nil, fmt.Errorf("%s names %v as master", sentinel.name(), reply)
		}
		master = s.Nodes[i]
	}
	if master == nil {
		return nil, errors.New("no sentinel is running")
	}
	return master, nil
}

// failoverPatience is how long a failover may take before it is asked for again. A sentinel gives
// it up after its failover-timeout, which is 3 s here.
const failoverPatience = 8 * time.Second

// Failover makes the sentinels replace a healthy master. It returns the new master when everything
// is ready again.
func (s *Sentinel) Failover() *Server {
	s.t.Helper()
	old := s.Master()
	var asked time.Time
	err := await(s.t.Context(), func(ctx context.Context) error {
		if master, err := s.agreed(ctx); err == nil && master != old {
			return nil
		}
		if time.Since(asked) < failoverPatience {
			return fmt.Errorf("%s is still the master", old.Addr())
		}
		// INPROG and NOGOODSLAVE pass when the sentinel has looked again. It gives a failover up if
		// the replica does not say in time that it has been promoted.
		_, err := running(s.Sentinels)[0].Do(ctx, "SENTINEL", "FAILOVER", MasterName) // Master has seen one
		if err == nil {
			asked = time.Now()
			err = errors.New("the failover has begun")
		}
		return err
	})
	if err != nil {
		s.t.Fatalf("redistest: failover: %v", err)
	}
	master := s.WaitForMaster(old)
	s.WaitReady()
	return master
}

// WaitForMaster waits until all running sentinels name another master than not, and that one
// agrees, and returns it.
func (s *Sentinel) WaitForMaster(not *Server) *Server {
	s.t.Helper()
	var master *Server
	err := await(s.t.Context(), func(ctx context.Context) (err error) {
		if master, err = s.agreed(ctx); err != nil {
			return err
		}
		if master == not {
			return fmt.Errorf("%s is still the master", not.Addr())
		}
		info, err := master.Info(ctx, "replication")
		if err == nil && info["role"] != "master" {
			err = fmt.Errorf("%s is still a %s", master.Addr(), info["role"])
		}
		return err
	})
	if err != nil {
		s.t.Fatalf("redistest: no new master: %v", err)
	}
	return master
}

// WaitReady waits until all running sentinels agree about the master, know all the other sentinels
// and replicas, and see it as up, and until every other running server is synced with it.
func (s *Sentinel) WaitReady() {
	s.t.Helper()
	err := await(s.t.Context(), func(ctx context.Context) error {
		if err := s.synced(ctx); err != nil {
			return err
		}
		want := map[string]string{
			"flags":               "master",
			"num-slaves":          fmt.Sprint(len(s.Nodes) - 1),
			"num-other-sentinels": fmt.Sprint(len(s.Sentinels) - 1),
		}
		for _, sentinel := range running(s.Sentinels) {
			reply, err := sentinel.Do(ctx, "SENTINEL", "MASTER", MasterName)
			if err != nil {
				return err
			}
			pairs, _ := reply.([]any)
			for pair := range slices.Chunk(pairs, 2) {
				if expected, ok := want[fmt.Sprint(pair[0])]; ok && pair[1] != expected {
					return fmt.Errorf("%s: %s is %v, want %s", sentinel.name(), pair[0], pair[1], expected)
				}
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatalf("redistest: not ready: %v", err)
	}
}

// synced checks that all running servers but the master are its replicas, and synced. As long as
// there are no sentinels the first server is the master.
func (s *Sentinel) synced(ctx context.Context) (err error) {
	master := s.Nodes[0]
	if len(s.Sentinels) > 0 {
		if master, err = s.agreed(ctx); err != nil {
			return err
		}
	}
	for _, node := range running(s.Nodes) {
		info, err := node.Info(ctx, "replication")
		if err != nil {
			return err
		}
		got := fmt.Sprint(info["role"], " of ", info["master_port"], ", link ", info["master_link_status"])
		want := fmt.Sprint("slave of ", master.port, ", link up")
		if node == master {
			want = "master of , link "
		}
		if got != want {
			return fmt.Errorf("%s is %q, want %q", node.Addr(), got, want)
		}
	}
	return nil
}
