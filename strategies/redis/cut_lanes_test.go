package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// A revocation in several lanes is a pipeline. When the reply of one lane is cut, it does not
// return nil unless all lanes have it.
func TestCutBetweenLanes(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	const lanes, entries = 4, 40
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	through := startAt(t, redis.Options{Addresses: []string{proxy.Addr()}, Connections: 1, Lanes: lanes, ClientName: "cut"})
	direct := start(t, server, redis.Options{Lanes: lanes})
	keys := make([]string, entries)
	for i := range keys {
		keys[i] = fmt.Sprintf("n:%02d", i)
	}
	fill := func() {
		for _, key := range keys {
			direct.set(key, time.Hour, "n:t")
		}
	}
	left := func(pattern string) int {
		found, _ := direct.direct("KEYS", pattern).([]any)
		return len(found)
	}
	fill()
	if left("n:t:*:t") != lanes {
		t.Fatalf("the entries are in %d lanes", left("n:t:*:t"))
	}
	direct.must(through.InvalidateTags(t.Context(), "n:t")) // loads the script
	script := proxy.HoldFunc(script(3, 9))
	script.Release()
	direct.must(through.InvalidateTags(t.Context(), "n:t"))

	for _, revocation := range []struct {
		name, pattern string
		revoke        func(context.Context) error
		command       func(lane int) string // the words that the lane's command begins with
	}{
		{"Delete", "n:v:*", func(ctx context.Context) error { return through.Delete(ctx, keys...) }, func(lane int) string {
			for _, key := range keys {
				physical := fmt.Sprintf("{%d}:%s", lane, strings.TrimPrefix(key, "n:"))
				if direct.direct("EXISTS", "n:v:"+physical) == int64(1) {
					return "unlink n:l:" + physical // leases go first
				}
			}
			t.Fatalf("nothing is in lane %d", lane)
			return ""
		}},
		{"InvalidateTags", "n:t:*:t", func(ctx context.Context) error { return through.InvalidateTags(ctx, "n:t") }, func(lane int) string {
			return strings.Join(append(script.Args()[:3], fmt.Sprintf("n:g:{%d}:", lane)), " ")
		}},
	} {
		failed, applied := 0, 0
		for lane := range lanes {
			for after := range len(":1\r\n") {
				fill()
				command := revocation.command(lane)
				proxy.CutReplyAfter(command, after)
				replied := proxy.HoldReply(command)
				replied.Release()
				ctx, cancel := context.WithTimeout(t.Context(), timeoutOfCut)
				err := revocation.revoke(ctx)
				cancel()
				select {
				case <-replied.Answered():
				default:
					t.Fatalf("%s: nothing of lane %d was cut: %v", revocation.name, lane, err)
				}
				switch remain := left(revocation.pattern); {
				case err == nil:
					t.Errorf("%s: the reply of lane %d came in part, and it returned nil; %d are left", revocation.name, lane, remain)
				case !errors.Is(err, driver.ErrUnavailable):
					t.Errorf("%s: %v, want ErrUnavailable", revocation.name, err)
				case remain == 0:
					applied++
				default:
					failed++
				}
				until(t, func() error { return revocation.revoke(t.Context()) })
				// The commands of the connection that was cut may come late, and must not meet the
				// entries of the next round.
				until(t, func() error { return connections(direct, "cut", 1) })
				if remain := left(revocation.pattern); remain > 0 {
					t.Errorf("%s, repeated, returned nil; %d are left", revocation.name, remain)
				}
			}
		}
		t.Logf("%s: %d errors, of which %d were applied in all lanes all the same", revocation.name, failed+applied, applied)
	}
}
