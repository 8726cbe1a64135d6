package schedules_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// Handover. Three nodes share a storage. The configuration names another one, and later the first
// one again. Each node sees each change at a time of its own, but within one handover. Meanwhile
// all of them load, read and revoke. A revocation or a fill may take so long that changes come in
// between.
//
// Promise (G1): as in TestStaleFill, on all nodes. The first storage still has what it had at
// first, and does not know what was revoked while it was not in use.
//
// Model: as in TestStaleFill.
func TestHandover(t *testing.T) {
	t.Parallel()
	inBubbles(t, "handover", 10_000, func(t *testing.T) func(*schedule) { return handovers(t, oneHandover) })
}

// Nodes that are further apart than one handover do not keep the promise, and the schedules know.
func TestHandoverTooLate(t *testing.T) {
	t.Parallel()
	const count = 1000
	wrong := 0
	for first := 0; first < count; first += count / 2 {
		synctest.Test(t, func(t *testing.T) {
			play := handovers(t, 3*oneHandover)
			for i := range count / 2 {
				s := newSchedule("handover-too-late", i, uint64(first+i))
				play(s)
				if s.failure != "" {
					wrong++
				}
			}
		})
	}
	t.Logf("%d of %d schedules serve what was revoked", wrong, count)
	if wrong == 0 {
		t.Error("no schedule finds what is wrong with nodes that are further apart than one handover")
	}
}

const oneHandover = time.Second

// handovers plays changes that nodes see at times that differ by latest at most.
func handovers(t *testing.T, latest time.Duration) func(*schedule) {
	servers := [2]*server{newServer(t, "a"), newServer(t, "b")}
	options := cache.Options{
		Namespace: "n", Handover: oneHandover, Timeout: time.Hour, LockWait: time.Second, MaxValueBytes: valueLimit,
		Logger: slog.New(slog.DiscardHandler), MeterProvider: metricnoop.NewMeterProvider(),
	}
	services := make([]*cache.Service, 3)
	for i := range services {
		services[i] = start(t, servers[0].seat(), options)
	}
	return func(s *schedule) {
		playing := &actor{s, "a storage"}
		servers[0].playing, servers[1].playing = playing, playing
		row := newRow(s)
		nodes := make([]node, len(services))
		lag := func() time.Duration { return time.Duration(s.random.Int64N(int64(latest))) }
		back := oneHandover/4 + time.Duration(s.random.Int64N(4*int64(oneHandover)))
		for i, service := range services {
			nodes[i] = row.nodes(t, service, 1)[0]
			first := lag()
			second := max(first+time.Millisecond, back+lag())
			s.clockwork(fmt.Sprint("node ", i), func(a actor) {
				for j, when := range []time.Duration{first, second - first} {
					<-time.After(when)
					next := servers[(j+1)%2]
					a.did("sees storage %s", next.id)
					if err := service.Reconfigure(context.Background(), nil, cache.Store{Strategy: next.seat(), Options: options}); err != nil {
						a.fail("Reconfigure: %v", err)
					}
				}
			})
		}
		for i := range 4 {
			type act struct {
				after     time.Duration
				node, way int
			}
			acts := make([]act, 5)
			for j := range acts {
				acts[j] = act{time.Duration(s.random.Int64N(2 * int64(oneHandover))), s.random.IntN(len(nodes)), s.random.IntN(3 * ways)}
			}
			s.clockwork(fmt.Sprint("worker ", i), func(a actor) {
				for _, act := range acts {
					<-time.After(act.after)
					n := nodes[act.node]
					switch a.did("turns to node %d", act.node); {
					case act.way < ways:
						n.write(a, act.way)
					case act.way < 2*ways:
						n.getOrLoad(context.Background(), a)
					default:
						n.get(a)
					}
				}
			})
		}
		s.play(oneHandover / 2)
		for range 2 {
			for i, n := range nodes {
				n.get(actor{s, fmt.Sprint("at the end, node ", i)})
			}
			<-time.After(8 * oneHandover) // every handover is over
			synctest.Wait()
		}
	}
}

// clockwork is an actor that begins at once, and goes by the time.
func (s *schedule) clockwork(name string, act func(a actor)) {
	s.mu.Lock()
	s.actors++
	s.mu.Unlock()
	go func() {
		defer func() {
			s.mu.Lock()
			s.actors--
			s.mu.Unlock()
		}()
		act(actor{s, name})
	}()
}

// server is a storage that several nodes share, with leases.
type server struct {
	*bigcache.Strategy
	id      string
	playing *actor // the schedule of the moment
}

func newServer(t testing.TB, id string) *server {
	t.Helper()
	s := &server{Strategy: newBigcache(t), id: id}
	must(t, s.Init(context.Background(), drivertest.NewInjector(t, cache.Options{MaxValueBytes: valueLimit})))
	return s
}

// seat returns the strategy of one node for the server. It has a pause before and after each Fill
// and Delete.
func (s *server) seat() driver.Strategy {
	return &seat{Leaser: s.Strategy, Clearer: s.Strategy, server: s}
}

type seat struct {
	driver.Leaser
	driver.Clearer

	server *server
}

// Cancellable implements driver.Cancellable. Nothing here waits for longer than the schedule wants.
func (s *seat) Cancellable() {}

// StorageID implements driver.Shared.
func (s *seat) StorageID() string { return s.server.id }

func (s *seat) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts cache.SetOptions) (bool, error) {
	s.server.playing.pause("%s is about to fill", s.server.id)
	stored, err := s.Leaser.Fill(ctx, lease, value, opts)
	s.server.playing.pause("%s has filled: %t", s.server.id, stored)
	return stored, err
}

func (s *seat) Delete(ctx context.Context, keys ...string) error {
	s.server.playing.pause("%s is about to delete", s.server.id)
	err := s.Leaser.Delete(ctx, keys...)
	s.server.playing.pause("%s has deleted", s.server.id)
	return err
}
