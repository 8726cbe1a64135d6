package redis_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// A value that is full of replies: whoever loses count of the bytes finds one.
const shifty = "\r\n$5\r\nwrong\r\n*2\r\n:1\r\n+OK\r\n-ERR wrong\r\n_\r\n:0\r\n"

// cutting is a strategy behind a proxy that cuts, and the server itself.
type cutting struct {
	*started // directly on the server

	through *redis.Strategy
	proxy   *redistest.Proxy
	key     string // without its namespace; its tag has the same name
	lease   *driver.Lease
}

// value is what the key has in round n; it always has the same length.
func (c *cutting) value(n int) string { return fmt.Sprintf("%s in round %04d%s", c.key, n, shifty) }

// raw is what the server has under a Redis key.
func (c *cutting) raw(key string) string {
	c.Helper()
	value, _ := c.direct("GET", key).(string)
	return value
}

// cut is an operation whose reply is cut.
type cut struct {
	name, command string
	prepare       func(c *cutting, n int)
	// do makes the operation in round n. It reports what is wrong, and returns the operation's
	// error.
	do func(ctx context.Context, c *cutting, n int) error
}

func (c *cutting) store(n int) { c.Helper(); c.storeWith(n, "n:shared") }

func (c *cutting) storeWith(n int, tag string) {
	c.Helper()
	c.must(c.Set(c.Context(), "n:"+c.key, []byte(c.value(n)), driver.SetOptions{TTL: time.Hour, Tags: []string{"n:" + c.key, tag}}))
}

// unlearned is a tag too long to be remembered: an entry that carries it is read by the script each
// time.
var unlearned = "n:" + strings.Repeat("u", 600)

func (c *cutting) remove(int) {
	c.Helper()
	c.must(c.Delete(c.Context(), "n:"+c.key))
}

// check reports a value that is neither that of round n nor missing.
func (c *cutting) check(n int, value []byte, found bool, err error) {
	c.Helper()
	if found && err != nil || found && string(value) != c.value(n) || !found && value != nil {
		c.Errorf("round %d: %q, %t, %v; want %q", n, value, found, err, c.value(n))
	}
}

func getCut(ctx context.Context, c *cutting, n int) error {
	value, found, err := c.through.Get(ctx, "n:"+c.key)
	c.check(n, value, found, err)
	return err
}

var cuts = []cut{
	{name: "Get", command: "evalsha_ro", prepare: func(c *cutting, n int) { c.storeWith(n, unlearned) }, do: getCut},
	{name: "Get, again", command: "mget", prepare: (*cutting).store, do: getCut},
	{name: "GetHinted", command: "mget", prepare: (*cutting).store, do: func(ctx context.Context, c *cutting, n int) error {
		value, found, err := c.through.GetHinted(ctx, "n:"+c.key, []string{"n:" + c.key, "n:shared"})
		c.check(n, value, found, err)
		return err
	}},
	{name: "GetOrLease of an entry", command: "evalsha", prepare: (*cutting).store, do: func(ctx context.Context, c *cutting, n int) error {
		value, found, lease, err := c.through.GetOrLease(ctx, "n:"+c.key)
		c.check(n, value, found, err)
		if lease != nil {
			c.Errorf("round %d: a lease on an entry", n)
		}
		return err
	}},
	{name: "GetOrLease of none", command: "evalsha", prepare: (*cutting).remove, do: func(ctx context.Context, c *cutting, n int) error {
		value, found, lease, err := c.through.GetOrLease(ctx, "n:"+c.key)
		if found || value != nil || lease != nil && err != nil {
			c.Errorf("round %d: %q, %t, %v, %v; there is no entry", n, value, found, lease, err)
		}
		if lease != nil { // all of it must have come: or the fill is refused
			stored, failure := c.Fill(c.Context(), lease, []byte(c.value(n)), driver.SetOptions{TTL: time.Hour})
			if !stored || failure != nil {
				c.Errorf("round %d: filling the lease: %t, %v", n, stored, failure)
			}
		}
		return err
	}},
	{name: "Set", command: "evalsha", prepare: (*cutting).remove, do: func(ctx context.Context, c *cutting, n int) error {
		err := c.through.Set(ctx, "n:"+c.key, []byte(c.value(n)), driver.SetOptions{TTL: time.Hour, Tags: []string{"n:" + c.key}})
		if got := c.raw("n:v:{0}:" + c.key); err == nil && !strings.HasSuffix(got, c.value(n)) {
			c.Errorf("round %d: Set returned nil, and the server has %q", n, got)
		}
		return err
	}},
	{name: "Fill", command: "evalsha", prepare: func(c *cutting, n int) {
		c.remove(n)
		var err error
		c.lease, err = c.Lease(c.Context(), "n:"+c.key)
		c.must(err)
	}, do: func(ctx context.Context, c *cutting, n int) error {
		stored, err := c.through.Fill(ctx, c.lease, []byte(c.value(n)), driver.SetOptions{TTL: time.Hour, Tags: []string{"n:" + c.key}})
		got := strings.HasSuffix(c.raw("n:v:{0}:"+c.key), c.value(n))
		if stored && (err != nil || !got) || err == nil && stored != got {
			c.Errorf("round %d: Fill: %t, %v; in the server: %t", n, stored, err, got)
		}
		return err
	}},
	{name: "Delete", command: "unlink", prepare: (*cutting).store, do: func(ctx context.Context, c *cutting, n int) error {
		err := c.through.Delete(ctx, "n:"+c.key)
		if err == nil && c.raw("n:v:{0}:"+c.key) != "" {
			c.Errorf("round %d: Delete returned nil and was not applied", n)
		}
		return err
	}},
	{name: "InvalidateTags", command: "evalsha", prepare: (*cutting).store, do: func(ctx context.Context, c *cutting, n int) error {
		err := c.through.InvalidateTags(ctx, "n:"+c.key)
		if err == nil && c.raw("n:t:{0}:"+c.key) != "" {
			c.Errorf("round %d: InvalidateTags returned nil and was not applied", n)
		}
		return err
	}},
}

// timeoutOfCut is far more than a reply takes, cut or not.
const timeoutOfCut = 2 * time.Second

// A reply that ends after any number of bytes is an error or nothing, never something else, and the
// next call works. One that comes byte by byte is as good as any.
func TestCutReplies(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	direct := start(t, server, redis.Options{})
	for _, op := range cuts {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			proxy := redistest.NewProxy(t, server.Addr())
			c := &cutting{
				started: &started{Strategy: direct.Strategy, TB: t, server: server}, proxy: proxy,
				through: startAt(t, redis.Options{Addresses: []string{proxy.Addr()}, Connections: 1}),
				key:     strings.ReplaceAll(op.name, " ", "-"),
			}
			other := "n:next to " + c.key
			c.must(c.Set(t.Context(), other, []byte(other+shifty), driver.SetOptions{TTL: time.Hour}))
			c.must(c.attempt(op, 0)) // loads the script
			whole := proxy.HoldReply(op.command)
			whole.Release()
			c.must(c.attempt(op, 0))
			length := len(whole.Reply())
			if command := whole.Args(); strings.HasPrefix(op.command, "evalsha") {
				// This script. Another one may release a lease: nobody knows whether the cut reply
				// granted one.
				op.command += " " + command[1]
			}

			proxy.Slice(1)
			c.must(c.attempt(op, 0))
			proxy.Slice(0)

			failed := 0
			for n := range length + 1 {
				proxy.CutReplyAfter(op.command, n)
				replied := proxy.HoldReply(op.command)
				replied.Release()
				err := c.attempt(op, n)
				if err != nil {
					failed++
				}
				select {
				case <-replied.Answered():
				default:
					t.Fatalf("round %d: no reply was cut: %v", n, err)
				}
				if n == length && err != nil {
					t.Errorf("the whole reply, and then the end: %v", err)
				}
				until(t, func() error {
					value, found, err := c.through.Get(t.Context(), other)
					if err == nil && (!found || string(value) != other+shifty) {
						t.Errorf("round %d: the next call got %q, %t", n, value, found)
					}
					return err
				})
			}
			t.Logf("cut after each of %d bytes: %d failed", length, failed)
		})
	}
}

// attempt makes an operation within its timeout.
func (c *cutting) attempt(op cut, n int) error {
	c.Helper()
	op.prepare(c, n)
	ctx, cancel := context.WithTimeout(c.Context(), timeoutOfCut)
	defer cancel()
	began := time.Now()
	err := op.do(ctx, c, n)
	if took := time.Since(began); took > timeoutOfCut+time.Second {
		c.Errorf("round %d: it took %v", n, took)
	}
	return err
}

// Many readers share a connection whose replies are cut, one after the other: nobody gets the reply
// to somebody else's request.
func TestCutBetweenReaders(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	through := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}, Connections: 1})
	direct := start(t, server, redis.Options{})
	const readers = 8
	value := func(reader int) string {
		return strings.Repeat(fmt.Sprint("value of reader ", reader, shifty), 1+reader%3)
	}
	for reader := range readers {
		tag := []string{unlearned, "n:t"}[reader%2] // scripts and MGETs
		direct.must(direct.Set(t.Context(), fmt.Sprint("n:", reader), []byte(value(reader)), driver.SetOptions{TTL: time.Hour, Tags: []string{tag}}))
	}
	var found, failed atomic.Int64
	over := make(chan struct{})
	var reading sync.WaitGroup
	for reader := range readers {
		reading.Go(func() {
			key := fmt.Sprint("n:", reader)
			for {
				select {
				case <-over:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(t.Context(), timeoutOfCut)
				var got []byte
				var ok bool
				var err error
				if reader%2 == 0 {
					got, ok, err = through.Get(ctx, key)
				} else {
					got, ok, err = through.GetHinted(ctx, key, []string{"n:t"})
				}
				cancel()
				switch {
				case err != nil:
					failed.Add(1)
				case !ok || string(got) != value(reader):
					t.Errorf("reader %d got %q, %t", reader, got, ok)
					return
				default:
					found.Add(1)
				}
			}
		})
	}
	defer reading.Wait()
	defer close(over)
	for n := range 300 {
		command := []string{"evalsha_ro", "mget"}[n%2]
		proxy.CutReplyAfter(command, n/2)
		replied := proxy.HoldReply(command)
		replied.Release()
		select {
		case <-replied.Answered():
		case <-time.After(10 * time.Second):
			t.Fatalf("cut %d: nothing came to be cut", n)
		}
	}
	t.Logf("300 replies cut: %d reads got their value, %d failed", found.Load(), failed.Load())
	if found.Load() == 0 || failed.Load() == 0 {
		t.Error("either nothing was read or nothing was cut: the test proves nothing")
	}
}
