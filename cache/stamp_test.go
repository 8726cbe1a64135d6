package cache_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// FuzzStampedEntry reads arbitrary bytes through a cache that refreshes, and judges each answer by taking
// the entry apart once more, in another way.
func FuzzStampedEntry(f *testing.F) {
	strategy := new(table)
	service := start(f, strategy, cache.Options{MaxConcurrentLoads: 1 << 20})
	c := newCache(f, service, "c", cache.Policy[int]{TTL: time.Hour, StaleFor: time.Hour, NegativeTTL: time.Hour})
	if err := c.Set(f.Context(), "k", 42); err != nil {
		f.Fatal(err)
	}
	row, _ := strategy.row("app:c:k")
	tag := row.value[1]
	f.Add(row.value)
	with := func(format byte, expiry int64, payload string) []byte {
		raw := binary.BigEndian.AppendUint64([]byte{format, tag}, uint64(expiry))
		return append(append(raw, 0, 0, 0, 9), payload...)
	}
	now := time.Now()
	for _, expiry := range []int64{0, -1, 1, 1<<63 - 1, now.UnixMilli(), now.Add(-time.Minute).UnixMilli(), now.Add(-2 * time.Hour).UnixMilli(), now.Add(time.Hour).UnixMilli()} {
		for format := range byte(7) {
			f.Add(with(format, expiry, "7"))
		}
	}
	for _, raw := range [][]byte{{}, {5}, {5, tag}, {5, tag, 0}, {5, tag + 1}, {3, tag}, {4, tag}, with(3, now.UnixMilli(), "")[:13], {1, tag, '8'}} {
		f.Add(raw)
	}
	var keys atomic.Int64
	f.Fuzz(func(t *testing.T, raw []byte) {
		// Each its own key: a refresh of an earlier one may be running.
		key := fmt.Sprint(keys.Add(1))
		defer func() { _ = strategy.Delete(context.Background(), "app:c:"+key) }() // never fails
		if err := strategy.Set(t.Context(), "app:c:"+key, raw, cache.SetOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		const loaded = -77
		got, err := c.GetOrLoad(t.Context(), key, value(loaded))
		want, absent, due := expected(raw, tag, loaded)
		if due { // it ends at this very moment
			return
		}
		if absent != errors.Is(err, cache.ErrNotFound) || !absent && (err != nil || got != want) {
			t.Errorf("% x: %v, %v; want %v, absent %v", raw, got, err, want, absent)
		}
	})
}

// expected is what a reader gets of raw: its value, or what was loaded instead, or that there is nothing.
func expected(raw []byte, tag byte, loaded int) (want int, absent, due bool) {
	if len(raw) == 2 && raw[0] == 5 && raw[1] == tag {
		return 0, true, false
	}
	header := 2
	if len(raw) >= 14 && raw[0] == 3 {
		header = 14
		late := time.Since(time.UnixMilli(int64(binary.BigEndian.Uint64(raw[2:])))) - time.Hour
		expiry := int64(binary.BigEndian.Uint64(raw[2:]))
		if expiry <= 0 || expiry < time.Now().UnixMilli() && late >= 0 {
			return loaded, false, late < time.Minute && late > -time.Minute
		}
	} else if len(raw) < 2 || raw[0] != 1 {
		return loaded, false, false
	}
	if raw[1] != tag || json.Unmarshal(raw[header:], &want) != nil {
		return loaded, false, false
	}
	return want, false, false
}
