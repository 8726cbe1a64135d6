package bench_test

import (
	"context"
	"flag"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/internal/bench"
	"github.com/fxcache/fxcache/internal/redistest"
)

var (
	overload = flag.Int("overload", 0, "how many rounds of TestOverload are measured; 0 leaves it out")
	stretch  = flag.Int("stretch", 1, "makes what TestOverload measures so many times as slow: a busy machine has no time for 2,000 goroutines")
)

// TestOverload: Redis becomes 20 ms slower under 2,000 goroutines that each allow it 50 ms, and
// quick again. Sessions must achieve what a bare client still achieves. The turns run one after
// another on the same server, and ratios are taken within a round. A round in which the bare client
// gets no time either proves nothing.
func TestOverload(t *testing.T) {
	if *overload == 0 {
		t.Skip("-overload says how many rounds")
	}
	const (
		goroutines, sessions = 2000, 1000
		least                = 0.8 // of the successes of the bare client
		recovery             = 2 * time.Second
	)
	timeout, slower := time.Duration(*stretch)*50*time.Millisecond, time.Duration(*stretch)*20*time.Millisecond
	server := redistest.Start(t)
	road := newRoad(t, server.Addr())
	bare, err := bench.NewRueidis(road.addr)
	must(t, err)
	whole, err := bench.NewSessions(t.Context(), road.addr, cache.Options{Timeout: timeout})
	must(t, err)
	record, err := bench.NewSession(0).AppendBinary(nil)
	must(t, err)
	keys := make([]string, sessions)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s%032d", bench.Namespace, i)
		must(t, bare.Set(t.Context(), "bare:"+keys[i], record))
		for whole.Set(t.Context(), keys[i], bench.NewSession(i)) != nil { // the machine is busy
			must(t, t.Context().Err())
		}
	}
	turns := []struct {
		name string
		get  func(ctx context.Context, i int) (bool, error)
	}{
		{"rueidis", func(ctx context.Context, i int) (bool, error) {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			_, found, err := bare.Get(ctx, "bare:"+keys[i])
			return found, err
		}},
		{"sessions", func(ctx context.Context, i int) (bool, error) {
			_, found, err := whole.Get(ctx, keys[i])
			return found, err
		}},
	}
	valid := 0
	for round := 0; valid < *overload; round++ {
		if round == 3**overload {
			t.Fatalf("the machine is too busy: only %d rounds say anything", valid)
		}
		var turn [2]phases
		for n := range turns {
			who := (n + round) % 2
			turn[who] = phasesOf(newCrowd(t.Context(), goroutines, sessions, turns[who].get), func(late bool) {
				road.delay.Store(0)
				if late {
					road.delay.Store(int64(slower))
				}
			})
		}
		for who, p := range turn {
			t.Logf("round %2d  %-8s  before %7.0f hits/s %5.1f %% failed   slow %7.0f %5.1f %%   again normal after %4v   %s", round, turns[who].name,
				p.before.hits, 100*p.before.failed(), p.slow.hits, 100*p.slow.failed(), p.recovery, p.slow.why)
		}
		ratio := turn[1].slow.hits / turn[0].slow.hits
		if turn[0].before.failed() > 0.05 || turn[0].slow.failed() > 0.2 {
			t.Logf("round %2d  %.2f, void: the bare client has no time either", round, ratio)
			continue
		}
		valid++
		t.Logf("round %2d  %.2f", round, ratio)
		if ratio < least {
			t.Errorf("round %2d: %.2f of the bare client's successes, want %.2f", round, ratio, least)
		}
		if turn[1].recovery > max(recovery, turn[0].recovery) {
			t.Errorf("round %2d: normal again after %v, want %v", round, turn[1].recovery, recovery)
		}
	}
}

// phases are what a crowd sees before, while and after the server is slow.
type phases struct {
	before, slow counts
	recovery     time.Duration
}

func phasesOf(c *crowd, late func(bool)) (p phases) {
	defer c.stop()
	c.watch(300 * time.Millisecond) // goroutines start, tags are learned
	p.before = c.watch(300 * time.Millisecond)
	late(true)
	p.slow = c.watch(2 * time.Second)
	late(false)
	const step = 100 * time.Millisecond
	for passed := step; passed <= 25*step; passed += step {
		if c.watch(step).failed() > 0.02 {
			p.recovery = passed
		}
	}
	return p
}

// counts are rates, in seconds.
type counts struct {
	hits, misses, errs float64
	why                string
}

func (c counts) failed() float64 { return (c.misses + c.errs) / max(1, c.hits+c.misses+c.errs) }

// crowd is a group of goroutines that read all the time.
type crowd struct {
	hits, misses, errs atomic.Int64
	mu                 sync.Mutex
	why                map[string]int
	cancel             context.CancelFunc
	all                sync.WaitGroup
}

func newCrowd(ctx context.Context, goroutines, sessions int, get func(ctx context.Context, i int) (bool, error)) *crowd {
	c := &crowd{why: map[string]int{}}
	ctx, c.cancel = context.WithCancel(ctx)
	for g := range goroutines {
		c.all.Go(func() {
			for i := g; ctx.Err() == nil; i += 7 {
				found, err := get(ctx, i%sessions)
				switch {
				case err != nil:
					if c.errs.Add(1)%100 == 0 { // a sample: it takes time
						text := err.Error()
						c.mu.Lock()
						c.why[text[:min(len(text), 75)]] += 100
						c.mu.Unlock()
					}
					// A caller that is refused at once does not ask again at once.
					select {
					case <-time.After(time.Millisecond):
					case <-ctx.Done():
					}
				case found:
					c.hits.Add(1)
				default:
					c.misses.Add(1)
				}
			}
		})
	}
	return c
}

func (c *crowd) watch(d time.Duration) counts {
	hits, misses, errs := c.hits.Load(), c.misses.Load(), c.errs.Load()
	began := time.Now()
	<-time.After(d)
	s := time.Since(began).Seconds()
	r := counts{float64(c.hits.Load()-hits) / s, float64(c.misses.Load()-misses) / s, float64(c.errs.Load()-errs) / s, ""}
	c.mu.Lock()
	var why []string
	for text, n := range c.why {
		why = append(why, fmt.Sprintf("%d × %s", n, text))
	}
	r.why = strings.Join(why, "; ")
	clear(c.why)
	c.mu.Unlock()
	return r
}

func (c *crowd) stop() {
	c.cancel()
	c.all.Wait()
}

// road carries bytes to and from a server, later by delay.
type road struct {
	addr  string
	delay atomic.Int64
}

func newRoad(t *testing.T, target string) *road {
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	r := &road{addr: listener.Addr().String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			var dialer net.Dialer
			server, err := dialer.DialContext(t.Context(), "tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			go r.carry(server, client)
			go r.carry(client, server)
		}
	}()
	return r
}

func (r *road) carry(to, from net.Conn) {
	type parcel struct {
		bytes []byte
		due   time.Time
	}
	queue := make(chan parcel, 1<<16)
	go func() {
		defer close(queue)
		for {
			b := make([]byte, 64<<10)
			n, err := from.Read(b)
			if n > 0 {
				queue <- parcel{b[:n], time.Now().Add(time.Duration(r.delay.Load() / 2))}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range queue {
		if d := time.Until(p.due); d > 0 {
			<-time.After(d)
		}
		if _, err := to.Write(p.bytes); err != nil {
			break
		}
	}
	_ = to.Close()
	_ = from.Close()
	for range queue {
	}
}
