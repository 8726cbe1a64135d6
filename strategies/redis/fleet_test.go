package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

const (
	fleetVariable = "FXCACHE_TEST_FLEET" // the address of the server, in a process of the fleet
	fleetSize     = 3
	fleetCallers  = 1000 // of each process
)

// member is one process of the fleet: all its callers want the same cold key at once. The server is
// also what the processes talk through: fleet:ready and fleet:go start them, fleet:loads counts the
// loads of each, and a load goes on when fleet:release is there.
func member(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := redistest.Dial(ctx, address, nil)
	if err != nil {
		return err
	}
	var one sync.Mutex // of conn
	do := func(args ...any) (any, error) {
		one.Lock()
		defer one.Unlock()
		return conn.Do(ctx, args...)
	}
	wait := func(key string) error {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			if there, err := do("EXISTS", key); err != nil || there == int64(1) {
				return err
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	strategy, err := redis.New(redis.Options{Addresses: []string{address}, LeaseTTL: 2 * time.Second})
	if err != nil {
		return err
	}
	service, err := cache.NewService(strategy, cache.Options{
		Namespace: "shop",
		Timeout:   10 * time.Second, LockWait: 30 * time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	if err := service.Start(ctx, nil); err != nil {
		return err
	}
	values, err := cache.New(service, "fleet", cache.Policy[string]{})
	if err != nil {
		return err
	}
	load := func(context.Context) (string, error) {
		if _, err := do("HINCRBY", "fleet:loads", os.Getpid(), 1); err != nil {
			return "", err
		}
		return "value", wait("fleet:release")
	}
	if _, err := do("INCR", "fleet:ready"); err != nil {
		return err
	}
	if err := wait("fleet:go"); err != nil {
		return err
	}
	var callers sync.WaitGroup
	var wrong atomic.Int64
	for range fleetCallers {
		callers.Go(func() {
			if value, err := values.GetOrLoad(ctx, "cold", load); value != "value" || err != nil {
				wrong.Add(1)
			}
		})
	}
	callers.Wait()
	if wrong.Load() > 0 {
		return fmt.Errorf("%d callers did not get the value", wrong.Load())
	}
	return errors.Join(service.Stop(ctx), conn.Close())
}

// fleet is the processes, as their parent sees them.
type fleet struct {
	*started

	ends map[int]chan error // by process id
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	redistest.Require(t)
	f := &fleet{start(t, redistest.Start(t), redis.Options{}), map[int]chan error{}}
	for range fleetSize {
		command := exec.CommandContext(t.Context(), os.Args[0]) // killed with the test
		command.Env = append(os.Environ(), fleetVariable+"="+f.server.Addr())
		command.Stderr = os.Stderr
		f.must(command.Start())
		end := make(chan error, 1)
		go func() { end <- command.Wait() }()
		f.ends[command.Process.Pid] = end
	}
	until(t, func() error { return f.is("GET", "fleet:ready", strconv.Itoa(fleetSize)) })
	f.direct("SET", "fleet:go", "1")
	return f
}

func (f *fleet) is(command, key, want string) error {
	if got := f.direct(command, key); fmt.Sprint(got) != want {
		return fmt.Errorf("%s is %v, want %s", key, got, want)
	}
	return nil
}

// othersWait waits until one process loads, and all others wait for its lease.
func (f *fleet) othersWait(t *testing.T) {
	t.Helper()
	until(t, func() error { return f.is("HLEN", "fleet:loads", "1") })
	until(t, func() error { return subscribed(f.started, "shop:l:{0}:fleet:cold", fleetSize-1) })
}

// loads returns how often each process has loaded.
func (f *fleet) loads() map[int]int {
	f.Helper()
	loads := map[int]int{}
	pairs := f.direct("HGETALL", "fleet:loads").([]any)
	for i := 0; i < len(pairs); i += 2 {
		pid, _ := strconv.Atoi(pairs[i].(string))
		loads[pid], _ = strconv.Atoi(pairs[i+1].(string))
	}
	return loads
}

// In a healthy system the loader runs once for a whole fleet that wants one cold key.
func TestFleetLoadsOnce(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	f.othersWait(t)
	f.direct("SET", "fleet:release", "1")
	for pid, end := range f.ends {
		if err := <-end; err != nil {
			t.Errorf("process %d: %v", pid, err)
		}
	}
	if loads := f.loads(); len(loads) != 1 {
		t.Errorf("loads by process: %v, want one", loads)
	} else {
		for _, n := range loads {
			if n != 1 {
				t.Errorf("loads by process: %v, want one", loads)
			}
		}
	}
}

// When the process that holds the lease is killed, the others load, once each at the most.
func TestFleetLosesItsLoader(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	f.othersWait(t)
	holder := slices.Collect(maps.Keys(f.loads()))[0]
	process, err := os.FindProcess(holder)
	f.must(err)
	f.must(process.Kill())
	if err := <-f.ends[holder]; err == nil {
		t.Fatal("the holder ended by itself")
	}
	delete(f.ends, holder)
	f.direct("SET", "fleet:release", "1")
	for pid, end := range f.ends {
		if err := <-end; err != nil {
			t.Errorf("process %d: %v", pid, err)
		}
	}
	loads := f.loads()
	t.Logf("loads by process: %v; %d was killed", loads, holder)
	if len(loads) < 2 {
		t.Error("nobody took over: the test proves nothing")
	}
	for pid, n := range loads {
		if n > 1 {
			t.Errorf("process %d loaded %d times", pid, n)
		}
	}
}
