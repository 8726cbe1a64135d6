package redis_test

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// output is how many bytes the server has sent.
func (s *started) output() int64 {
	s.Helper()
	stats, err := s.server.Info(s.Context(), "stats")
	s.must(err)
	n, err := strconv.ParseInt(stats["total_net_output_bytes"], 10, 64)
	s.must(err)
	return n
}

// Many read one key at once, by each of the ways that a read may go: the value is not sent once for
// each of them, and nevertheless each has bytes of its own.
func TestHotKey(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	const readers, size = 64, 16 << 10
	s := start(t, redistest.Start(t), redis.Options{})
	tags := []string{"n:all", "n:own"}
	value := bytes.Repeat([]byte{'v'}, size)
	s.must(s.Set(t.Context(), "n:k", value, driver.SetOptions{TTL: time.Hour, Tags: tags}))
	other := start(t, s.server, redis.Options{})
	for _, way := range []struct {
		name string
		read func() ([]byte, bool, error)
	}{
		{"tags known", func() ([]byte, bool, error) { return s.GetHinted(t.Context(), "n:k", tags) }},
		{"tags not known", func() ([]byte, bool, error) { return other.Get(t.Context(), "n:k") }},
		{"tags learned", func() ([]byte, bool, error) { return other.Get(t.Context(), "n:k") }},
	} {
		before := s.output()
		ready := make(chan struct{})
		var all sync.WaitGroup
		for reader := range readers {
			all.Go(func() {
				<-ready
				got, found, err := way.read()
				if err != nil || !found || !bytes.Equal(got, value) {
					t.Errorf("%s: %d bytes, %t, %v", way.name, len(got), found, err)
				}
				clear(got) // it is ours
				_ = append(got, fmt.Sprint(reader)...)
			})
		}
		close(ready)
		all.Wait()
		times := (s.output() - before) / size
		t.Logf("%s: %d readers, the value was sent %d times", way.name, readers, times)
		if times > readers/2 {
			t.Errorf("%s: %d readers, and the value was sent %d times", way.name, readers, times)
		}
	}
}
