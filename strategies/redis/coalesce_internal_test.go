package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/internal/redistest"
)

// dialBatch returns a client as the strategy makes it, and a context with a deadline.
func dialBatch(t *testing.T, options Options) (context.Context, rueidis.Client) {
	t.Helper()
	redistest.Require(t)
	option := options.WithDefaults().clientOption(nil)
	option.AlwaysRESP2 = true // for the server that is none; the others know both
	conn, err := rueidis.NewClient(option)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx, conn
}

// asked is what a member of a batch asks for; the value of each key is its name.
type asked struct {
	participant

	wanted []string
}

func (a asked) check(ctx context.Context, t *testing.T, conn rueidis.Client) {
	t.Helper()
	got := a.wait(ctx, conn, a.wanted)
	if got.err != nil {
		t.Errorf("%q: %v", a.wanted, got.err)
		return
	}
	for i := range a.wanted {
		reply := got.reply(i)
		got, err := reply.ToString()
		if absent := strings.Contains(a.wanted[i], "absent"); absent != rueidis.IsRedisNil(err) || !absent && got != a.wanted[i] {
			t.Errorf("%q: reply %d is %q, %v", a.wanted, i, got, err)
		}
	}
}

// Each member gets what it has asked for, and all together make one command.
func TestBatch(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	ctx, conn := dialBatch(t, Options{Addresses: server.Addrs()})
	for _, key := range []string{"a", "b", "c", "d", "t1", "t2", "t3"} {
		if _, err := server.Do(ctx, "SET", key, key); err != nil {
			t.Fatal(err)
		}
	}
	for _, members := range [][][]string{
		{{"a", "t1"}, {"b", "t1"}, {"c", "t1"}, {"absent", "t1"}},
		{{"a", "t1", "t2"}, {"b", "t1", "t3"}, {"a", "t2", "t1"}, {"c"}, {"d", "t1", "t2"}, {"a", "t1", "t2"}},
		{{"a"}, {"b"}, {"c", "t1"}, {"d", "absent tag"}},
		{{"absent", "absent tag"}, {"absent", "absent tag", "t1"}, {"a", "absent tag"}},
	} {
		if _, err := server.Do(ctx, "CONFIG", "RESETSTAT"); err != nil {
			t.Fatal(err)
		}
		var r coalescer
		var all []asked
		for i, wanted := range members {
			// As in tagHints: whoever appends to the spare capacity writes over what is there.
			spare := append(slices.Clone(wanted), slices.Repeat([]string{"spare"}, 2*maxShared)...)
			m := r.join(ctx, spare[:len(wanted)])
			if m.first != (i == 0) {
				t.Errorf("%q: member %d is the first: %t", members, i, m.first)
			}
			all = append(all, asked{m, spare})
		}
		r.seal(all[0].sharedRead)
		if late := r.join(ctx, members[0]); !late.first || late.sharedRead == all[0].sharedRead {
			t.Errorf("%q: a read that came after the batch was sealed has joined it", members)
		}
		all[0].send(all[0].start(ctx), conn)
		for i, a := range all {
			if !slices.Equal(a.wanted[len(members[i]):], slices.Repeat([]string{"spare"}, 2*maxShared)) {
				t.Errorf("written beyond the wanted keys: %q", a.wanted[:len(members[i])+maxShared])
			}
			a.wanted = members[i]
			a.check(ctx, t, conn)
		}
		stats, err := server.Info(ctx, "commandstats")
		if err != nil || !strings.HasPrefix(stats["cmdstat_mget"], "calls=1,") {
			t.Errorf("%q: %q, %v, want one MGET", members, stats["cmdstat_mget"], err)
		}
	}
}

func TestBatchIsBounded(t *testing.T) {
	t.Parallel()
	var r coalescer
	for i := range 10 * maxShared {
		wanted := []string{fmt.Sprint("k", i), fmt.Sprint("t", i%3), "t"}
		m := r.join(t.Context(), wanted)
		if len(m.keys) > maxShared {
			t.Fatalf("%d keys", len(m.keys))
		}
		if m.first && !slices.Equal(m.keys, wanted) {
			t.Fatalf("%q has opened a batch of %q", wanted, m.keys)
		}
		for i, key := range wanted {
			if !m.first && m.keys[m.at[i]] != key {
				t.Fatalf("%q is not at %d of %q", key, m.at[i], m.keys)
			}
		}
	}
	// What several want is asked for once.
	r = coalescer{}
	for i := range 10 * maxShared {
		if m := r.join(t.Context(), []string{fmt.Sprint("k", i%2), fmt.Sprint("t", i%2), "t"}); m.first != (i == 0) || i > 0 && len(m.keys) != 5 {
			t.Fatalf("read %d: the first is %t, keys are %q", i, m.first, m.keys)
		}
	}
	// One that has many tags by itself keeps others from waiting for them.
	r = coalescer{}
	many := slices.Repeat([]string{"t"}, maxShared)
	for i, wanted := range [][]string{many, {"a"}, many, {"b"}} {
		if m := r.join(t.Context(), wanted); !m.first {
			t.Errorf("read %d has joined a batch, which has %d keys", i, len(m.keys))
		}
	}
}

// Nobody waits longer than he wants, and nobody loses his reply because another one would not wait.
func TestBatchKeepsEveryDeadline(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	patient, conn := dialBatch(t, Options{Addresses: server.Addrs()})
	if _, err := server.Do(patient, "MSET", "a", "a", "b", "b", "c", "c"); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(patient, 50*time.Millisecond)
	defer cancel()
	gone, leave := context.WithTimeout(patient, time.Minute)
	defer leave()
	for _, order := range [][]context.Context{{short, gone, patient}, {patient, short, gone}, {gone, patient, short}} {
		var r coalescer
		all := map[context.Context]asked{}
		for i, ctx := range order {
			wanted := []string{string(rune('a' + i))}
			all[ctx] = asked{r.join(ctx, wanted), wanted}
		}
		r.seal(all[short].sharedRead)
		server.Pause()
		go all[short].send(all[short].start(short), conn)
		if err := all[short].wait(short, conn, all[short].wanted).err; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("short: %v", err)
		}
		leave()
		if err := all[gone].wait(gone, conn, all[gone].wanted).err; !errors.Is(err, context.Canceled) {
			t.Errorf("gone: %v", err)
		}
		server.Resume()
		all[patient].check(patient, t, conn)
	}
}

// When all have left, nothing goes on in the background. What an application's client finds in the
// context of the first member, a trace for example, it finds in that of the batch.
func TestBatchEndsWithItsMembers(t *testing.T) {
	t.Parallel()
	type key struct{}
	ctx, leave := context.WithTimeout(context.WithValue(t.Context(), key{}, "trace"), time.Minute)
	defer leave()
	var r coalescer
	m, other := r.join(ctx, []string{"a"}), r.join(ctx, []string{"b"})
	r.seal(m.sharedRead)
	sent := m.start(ctx)
	if sent.Value(key{}) != "trace" {
		t.Error("the values of the context are lost")
	}
	leave()
	for i, m := range []participant{m, other} {
		if sent.Err() != nil {
			t.Errorf("it has ended while %d members wait", 2-i)
		}
		if err := m.wait(ctx, nil, []string{"a"}).err; !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want Canceled", err)
		}
	}
	if !errors.Is(sent.Err(), context.Canceled) {
		t.Errorf("all have left, and it goes on: %v", sent.Err())
	}
}

// A read has passed the bulkhead when the connection is lost. While it is made anew, rueidis lets
// everyone wait.
func TestReadOvertakenByALoss(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	const timeout, grace = 200 * time.Millisecond, 400 * time.Millisecond
	proxy := redistest.NewProxy(t, redistest.Start(t).Addr())
	s, err := New(Options{Addresses: []string{proxy.Addr()}, Connections: 1})
	if err == nil {
		err = s.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Namespace: "n", Timeout: 2 * time.Second}))
	}
	if err == nil {
		err = s.Set(t.Context(), "n:k", nil, driver.SetOptions{TTL: time.Hour})
	}
	if _, found, failure := s.Get(t.Context(), "n:k"); !found || failure != nil || err != nil { // learns its tags
		t.Fatal(found, failure, err)
	}
	defer func() {
		if err := s.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	handshake := proxy.Hold("HELLO")
	defer handshake.Release()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	st, o, err := s.begin(ctx, "n:k")
	if err != nil {
		t.Fatal(err)
	}
	defer o.end()
	proxy.Cut()
	<-handshake.Arrived() // the probe's
	if _, _, err := st.reader.get(&o); err == nil {
		t.Error("no error")
	}
	if took := time.Since(began); took > timeout+grace {
		t.Errorf("a read with %v took %v", timeout, took)
	}
}

// In a slot on the move a command is refused when not all of its keys are on one node. One read
// does not suffer from where the keys of another one are. What is not where the generation is
// cannot be read.
func TestBatchInASplitSlot(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	cluster := redistest.StartCluster(t, 3, 0)
	ctx, conn := dialBatch(t, Options{Mode: Cluster, Addresses: cluster.Addrs()})
	here, there := []string{"{0}a", "{0}ta"}, []string{"{0}b", "{0}tb"}
	for _, key := range slices.Concat(here, there, []string{"{0}generation"}) {
		if err := conn.Do(ctx, conn.B().Set().Key(key).Value(key).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	slot := cluster.SlotOf("{0}")
	from, masters := cluster.NodeForSlot(slot), cluster.Masters()
	migration := cluster.BeginMigration(slot, masters[(slices.Index(masters, from)+1)%len(masters)])
	migration.Move(there[0], there[1])
	external, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: cluster.Addrs(), DisableCache: true, AlwaysPipelining: true})
	if err != nil {
		t.Fatal(err)
	}
	defer external.Close()
	for name, conn := range map[string]rueidis.Client{"our client": conn, "one that tries reads again": external} {
		r := coalescer{generation: "{0}generation"}
		a, b := asked{r.join(ctx, here), here}, asked{r.join(ctx, there), there}
		r.seal(a.sharedRead)
		began := time.Now()
		a.send(a.start(ctx), conn)
		if took := time.Since(began); !isSplit(a.err) || took > 10*time.Second {
			t.Errorf("%s: the batch: %v after %v, want TRYAGAIN at once", name, a.err, took)
		}
		a.check(ctx, t, conn)
		if err := b.wait(ctx, conn, b.wanted).err; !isSplit(err) {
			t.Errorf("%s: keys on the other node than the generation: %v, want TRYAGAIN", name, err)
		}
	}
}

// panicking is a client of an application that has not been made.
type panicking struct{ rueidis.Client }

// exiting is one that ends the goroutine, as a mock does.
type exiting struct{ rueidis.Client }

func (exiting) B() rueidis.Builder {
	runtime.Goexit()
	panic("not reached")
}

func TestBatchOfABrokenClient(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, conn := range []rueidis.Client{panicking{}, exiting{}} {
		var r coalescer
		m, other := r.join(ctx, []string{"a"}), r.join(ctx, []string{"b"})
		r.seal(m.sharedRead)
		go m.send(m.start(ctx), conn)
		for _, m := range []participant{m, other} {
			if err := m.wait(ctx, conn, []string{"a"}).err; !errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("%T: %v, want ErrUnavailable", conn, err)
			}
		}
	}
}

// A server that is none gives another number of values than it was asked for.
func TestBatchOfAShortReply(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }() // nothing was written to it
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					switch line := lines.Text(); {
					case line == "MGET":
						_, _ = conn.Write([]byte("*1\r\n$1\r\nx\r\n")) // the client notices
					case line != "" && strings.Trim(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "":
						_, _ = conn.Write([]byte("+OK\r\n"))
					}
				}
			}()
		}
	}()
	option := Options{Addresses: []string{listener.Addr().String()}}.WithDefaults().clientOption(nil)
	option.AlwaysRESP2, option.ClientName = true, ""
	conn, err := rueidis.NewClient(option)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var r coalescer
	if err := r.mget(ctx, conn, new(bulkhead), []string{"a", "t"}).err; !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("alone: %v, want ErrUnavailable", err)
	}
	m, other := r.join(ctx, []string{"a", "t"}), r.join(ctx, []string{"b", "t"})
	r.seal(m.sharedRead)
	m.send(m.start(ctx), conn)
	for _, m := range []participant{m, other} {
		if err := m.wait(ctx, conn, []string{"a", "t"}).err; !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("together: %v, want ErrUnavailable", err)
		}
	}
}

// Reads of one entry by the script share one run of it, if they came before it was sent, and no
// other.
func TestBatchOfTheScript(t *testing.T) {
	t.Parallel()
	var r coalescer
	args := []string{"prefix", "1000"}
	a, b, other := r.joinScript(t.Context(), []string{"a"}, args), r.joinScript(t.Context(), []string{"a"}, args), r.joinScript(t.Context(), []string{"b"}, args)
	if !a.first || b.first || !other.first || a.sharedRead != b.sharedRead || a.sharedRead == other.sharedRead || len(a.keys) != 1 {
		t.Errorf("first: %t, %t, of another entry %t; %q", a.first, b.first, other.first, a.keys)
	}
	r.seal(a.sharedRead)
	if late := r.joinScript(t.Context(), []string{"a"}, args); !late.first || late.sharedRead == a.sharedRead {
		t.Error("a read that came after the script was sent has joined it")
	}
	if late := r.joinScript(t.Context(), []string{"b"}, args); late.first {
		t.Error("a read that came before the script was sent has not joined it")
	}
	r.seal(a.sharedRead) // once more: the second one of the same entry is not sealed by it
	if b := r.joinScript(t.Context(), []string{"a"}, args); b.first {
		t.Error("the batch that is open was sealed by another one")
	}
}
