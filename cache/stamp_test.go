package cache_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// FuzzStampedEntry reads arbitrary bytes through a cache that refreshes. It checks each answer with
// a second, independent parser.
func FuzzStampedEntry(f *testing.F) {
	strategy := new(table)
	service := start(f, strategy, cache.Options{MaxConcurrentLoads: 1 << 20})
	c := newCache(f, service, "c", cache.Policy[int]{TTL: time.Hour, StaleFor: time.Hour, NegativeTTL: time.Hour})
	if err := c.Set(f.Context(), "k", 42); err != nil {
		f.Fatal(err)
	}
	row, _ := strategy.row("app:c:k")
	header := row.value[1:envelope]
	f.Add(row.value)
	with := func(format byte, expiry int64, payload string) []byte {
		raw := binary.BigEndian.AppendUint64(slices.Concat([]byte{format}, header), uint64(expiry))
		return append(append(raw, 0, 0, 0, 9), payload...)
	}
	now := time.Now()
	for _, expiry := range []int64{0, -1, 1, 1<<63 - 1, now.UnixMilli(), now.Add(-time.Minute).UnixMilli(), now.Add(-2 * time.Hour).UnixMilli(), now.Add(time.Hour).UnixMilli()} {
		for format := range byte(12) {
			f.Add(with(format, expiry, "7"))
		}
	}
	behind := func(format byte, payload ...byte) []byte { return slices.Concat([]byte{format}, header, payload) }
	other := behind(10)
	other[1]++
	for _, raw := range [][]byte{{}, {10}, behind(10), behind(10, 0), other, behind(8), behind(9), with(8, now.UnixMilli(), "")[:17], behind(6, '8')} {
		f.Add(raw)
	}
	var keys atomic.Int64
	f.Fuzz(func(t *testing.T, raw []byte) {
		// Each input has its own key, because a refresh of an earlier one may still be running.
		key := fmt.Sprint(keys.Add(1))
		defer func() { _ = strategy.Delete(context.Background(), "app:c:"+key) }() // never fails
		if err := strategy.Set(t.Context(), "app:c:"+key, raw, cache.SetOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		const loaded = -77
		got, err := c.GetOrLoad(t.Context(), key, value(loaded))
		want, absent, due := expected(raw, header, loaded)
		if due { // it ends at this very moment
			return
		}
		if absent != errors.Is(err, cache.ErrNotFound) || !absent && (err != nil || got != want) {
			t.Errorf("% x: %v, %v; want %v, absent %v", raw, got, err, want, absent)
		}
	})
}

// expected returns what a reader gets for raw: its value, the loaded value, or ErrNotFound.
func expected(raw, header []byte, loaded int) (want int, absent, due bool) {
	if len(raw) < envelope || !bytes.Equal(raw[1:envelope], header) {
		return loaded, false, false
	}
	payload := raw[envelope:]
	if raw[0] == 10 && len(payload) == 0 {
		return 0, true, false
	}
	if raw[0] == 8 && len(payload) >= 12 {
		expiry := int64(binary.BigEndian.Uint64(payload))
		late := time.Since(time.UnixMilli(expiry)) - time.Hour
		payload = payload[12:]
		if expiry <= 0 || expiry < time.Now().UnixMilli() && late >= 0 {
			return loaded, false, late < time.Minute && late > -time.Minute
		}
	} else if raw[0] != 6 {
		return loaded, false, false
	}
	if json.Unmarshal(payload, &want) != nil {
		return loaded, false, false
	}
	return want, false, false
}
