package bench_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/internal/bench"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/sessioncache"
)

// contender is a Peer with keys and values of its own, so that all fit into one table and on one
// server.
type contender struct {
	name string
	set  func(ctx context.Context, i int) error
	get  func(ctx context.Context, i int) (found bool, err error)
	// read is get, and returns the value in a form that can be compared, beside the one that was
	// set.
	read func(ctx context.Context, i int) (got, want string, found bool, err error)
	// deadline says that get makes a deadline of its own.
	deadline bool
}

// enter makes a contender of a Peer.
func enter[V any](tb testing.TB, name string, peer bench.Peer[V], values []V, form func(V) string) contender {
	tb.Cleanup(func() { must(tb, peer.Close()) })
	keys := make([]string, len(values))
	for i := range keys {
		keys[i] = fmt.Sprintf("%s%.10s-%032d", bench.Namespace, name+"----------", i) // as long as a token
	}
	return contender{
		name: name,
		set:  func(ctx context.Context, i int) error { return peer.Set(ctx, keys[i], values[i]) },
		get: func(ctx context.Context, i int) (bool, error) {
			_, found, err := peer.Get(ctx, keys[i])
			return found, err
		},
		read: func(ctx context.Context, i int) (string, string, bool, error) {
			value, found, err := peer.Get(ctx, keys[i])
			if err != nil || !found {
				return "", "", found, err
			}
			return form(value), form(values[i]), true, nil
		},
	}
}

// contenders connects all to the server at addr, with so many sessions each, none of which is
// stored yet. The cleanup of tb closes them.
func contenders(tb testing.TB, addr string, count int) []contender {
	tb.Helper()
	sessions := make([]*sessioncache.CachedSession, count)
	records, plain := make([][]byte, count), make([]*bench.Plain, count)
	for i := range sessions {
		sessions[i] = bench.NewSession(i)
		record, err := sessions[i].AppendBinary(nil)
		must(tb, err)
		records[i], plain[i] = record, bench.NewPlain(sessions[i])
	}
	text := func(value []byte) string { return string(value) }
	ctx := tb.Context()

	bare, err := bench.NewRueidis(addr)
	must(tb, err)
	static, err := bench.NewStatic(ctx, addr)
	must(tb, err)
	dynamic, err := bench.NewDynamic(ctx, addr)
	must(tb, err)
	whole, err := bench.NewSessions(ctx, addr, cache.Options{})
	must(tb, err)
	byHand, err := bench.NewJSON(addr)
	must(tb, err)
	session := enter(tb, "session", whole, sessions, func(s *sessioncache.CachedSession) string {
		record, err := s.AppendBinary(nil)
		must(tb, err)
		return string(record)
	})
	session.deadline = true // the Service's
	return []contender{
		enter(tb, "rueidis", bare, records, text),
		enter(tb, "static", static, records, text),
		enter(tb, "dynamic", dynamic, records, text),
		enter(tb, "goredis", bench.NewGoRedis(addr), records, text),
		enter(tb, "gocache", bench.NewGoRedisCache(addr), records, text),
		session,
		enter(tb, "json", byHand, plain, func(p *bench.Plain) string {
			text, err := json.Marshal(p)
			must(tb, err)
			return string(text)
		}),
	}
}

// A benchmark of a contender that gives wrong answers is void.
func TestContenders(t *testing.T) {
	t.Parallel()
	const sessions = 10
	for _, c := range contenders(t, redistest.Start(t).Addr(), sessions) {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			for i := range sessions - 1 {
				must(t, c.set(ctx, i))
			}
			seen := map[string]bool{}
			for i := range sessions - 1 {
				got, want, found, err := c.read(ctx, i)
				if err != nil || !found || got != want || got == "" || seen[got] {
					t.Errorf("session %d: %q, %v, %v, want %q, unlike all before", i, got, found, err, want)
				}
				seen[got] = true
				if found, err := c.get(ctx, i); !found || err != nil {
					t.Errorf("session %d: get answers %v, %v", i, found, err)
				}
			}
			if _, _, found, err := c.read(ctx, sessions-1); found || err != nil {
				t.Errorf("a session that was never stored: %v, %v", found, err)
			}
			if found, err := c.get(ctx, sessions-1); found || err != nil {
				t.Errorf("a session that was never stored: get answers %v, %v", found, err)
			}
		})
	}
}

// All have the same sessions, and all but json the same encoding of them.
func TestContendersReadTheSame(t *testing.T) {
	t.Parallel()
	all := contenders(t, redistest.Start(t).Addr(), 2)
	var want string
	for _, c := range all {
		must(t, c.set(t.Context(), 0))
		got, _, _, err := c.read(t.Context(), 0)
		must(t, err)
		if want == "" {
			want = got
		}
		if c.name != "json" && got != want {
			t.Errorf("%s: %q, the first one has %q", c.name, got, want)
		}
	}
}

// What is measured is the one round trip that each name stands for, and not, say, a hint that
// misses its entry and is followed by a script.
func TestContendersCommands(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	mgets := map[string]int{"static": 1, "dynamic": 1, "session": 1} // a script only for the first read
	for _, c := range contenders(t, server.Addr(), 1) {
		ctx := t.Context()
		must(t, c.set(ctx, 0))
		for range 2 { // the tags are known after the first one
			_, err := server.Do(ctx, "CONFIG", "RESETSTAT")
			must(t, err)
			_, err = c.get(ctx, 0)
			must(t, err)
		}
		stats, err := server.Info(ctx, "commandstats")
		must(t, err)
		calls := map[string]int{}
		for name, line := range stats {
			var n int
			if _, err := fmt.Sscanf(line, "calls=%d", &n); err == nil {
				command, _, _ := strings.Cut(strings.TrimPrefix(name, "cmdstat_"), "sha")
				calls[command] += n
			}
		}
		// A GET more may be that of the fingerprint, on a connection that was just made.
		if calls["get"] < 1-mgets[c.name] || calls["mget"] != mgets[c.name] || calls["eval"] != 0 {
			t.Errorf("%s: %v", c.name, stats)
		}
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
