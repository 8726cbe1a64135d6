package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// perStore is about how many bytes of values one call of a script stores.
const perStore = 256 << 10

// fill stores many entries under their leases.
func (l *leases) fill(ctx context.Context, fills []driver.Fill) []driver.FillResult {
	conn, err := l.client.connected(ctx)
	if err == nil {
		ctx, cancel := l.client.withDeadline(ctx)
		defer cancel()
		if err = l.admission.batch(ctx); err == nil {
			b := l.batchFill(fills)
			if results, ok := inTime(ctx, l.running, func() []driver.FillResult { return l.fillSmall(ctx, conn, b) }); ok {
				l.fillLarge(ctx, fills, results)
				return l.settled(fills, results)
			}
			err = ctx.Err()
		}
	}
	return l.settled(fills, slices.Repeat([]driver.FillResult{{Err: err}}, len(fills)))
}

// settled releases the leases that may not have been used up.
func (l *leases) settled(fills []driver.Fill, results []driver.FillResult) []driver.FillResult {
	for i, fill := range fills {
		state, ok := stateOf(fill.Lease)
		if !ok {
			results[i] = driver.FillResult{} // another strategy has granted it
		} else if err := results[i].Err; err != nil && mayHaveDone(err) {
			l.leaser.releaseLater(fill.Lease.Key, state.token)
		}
	}
	return results
}

// batchFill is one FillMany under way. It shares nothing with its caller, because it may continue
// after that has returned.
type batchFill struct {
	results []driver.FillResult
	keys    []string // of the Service
	parts   []fillPart
	hidden  []int // what must not stay readable
}

// fillPart is what one call of the script stores.
type fillPart struct {
	items      []item
	size, tags int // of all items together
}

// roomFor reports whether part may have one more.
func (p *fillPart) roomFor(more *item) bool {
	return len(p.items) < perScript && p.size+len(more.value) <= perStore && p.tags+len(more.tags) <= maxTags
}

// batchFill divides fills by lane, except for the large ones.
func (l *leases) batchFill(fills []driver.Fill) *batchFill {
	b := &batchFill{results: make([]driver.FillResult, len(fills)), keys: make([]string, len(fills))}
	lanes := make(map[*laneKeys]int) // the part that has room
	size := 0
	for i := range fills {
		if len(fills[i].Value) <= inline {
			size += len(fills[i].Value)
		}
	}
	var values strings.Builder // one allocation for all
	values.Grow(size)
	now, before := l.writer.clock.Now(), (*item)(nil)
	for i := range fills {
		fill := &fills[i]
		state, ok := stateOf(fill.Lease)
		if !ok || len(fill.Value) > inline {
			continue
		}
		b.keys[i] = fill.Lease.Key
		prepared, err := l.writer.prepare(l.writer.keys.of(fill.Lease.Key), len(fill.Value), fill.Options, state, now, before)
		if err != nil {
			b.results[i].Err = err
			b.hidden = append(b.hidden, i)
			continue
		}
		from := values.Len()
		values.Write(fill.Value)
		prepared.value, prepared.caller = values.String()[from:], i
		lane := prepared.ref.lane
		n, there := lanes[lane]
		if !there || !b.parts[n].roomFor(&prepared) {
			n = len(b.parts)
			lanes[lane] = n
			b.parts = append(b.parts, fillPart{items: make([]item, 0, l.room(len(fills)))})
		}
		part := &b.parts[n]
		part.items, part.size, part.tags = append(part.items, prepared), part.size+len(prepared.value), part.tags+len(prepared.tags)
		before = &part.items[len(part.items)-1]
	}
	return b
}

// fillSmall stores what batchFill has prepared.
func (l *leases) fillSmall(ctx context.Context, conn rueidis.Client, b *batchFill) []driver.FillResult {
	calls := make([]laneCall, len(b.parts))
	for n, part := range b.parts {
		lane := part.items[0].ref.lane
		calls[n] = laneCall{lane, l.writer.storeCall(lane, part.items...)}
	}
	for n, reply := range runAll(ctx, conn, storeSHA, storeText, calls) {
		items := b.parts[n].items
		stored, err := storedBy(reply, len(items))
		err = l.client.observe(err)
		for at := range items {
			i := items[at].caller
			if b.results[i].Err = err; err == nil {
				b.results[i].Stored = stored[at] == 1
			} else if isAnswer(err) { // refused before it began, for lack of memory for example
				b.hidden = append(b.hidden, i)
			}
		}
	}
	l.hideAll(ctx, b)
	return b.results
}

// hideAll removes the entries that refused ones should have replaced.
func (l *leases) hideAll(ctx context.Context, b *batchFill) {
	if len(b.hidden) == 0 {
		return
	}
	keys := make([]string, len(b.hidden))
	for n, i := range b.hidden {
		keys[n] = b.keys[i]
	}
	if err := l.writer.hide(ctx, keys...); err != nil {
		for _, i := range b.hidden {
			b.results[i].Err = errors.Join(b.results[i].Err, err)
		}
	}
}

// fillLarge stores the values that are too large for a pipeline.
func (l *leases) fillLarge(ctx context.Context, fills []driver.Fill, results []driver.FillResult) {
	var all sync.WaitGroup
	for i, fill := range fills {
		state, ok := stateOf(fill.Lease)
		if !ok || len(fill.Value) <= inline {
			continue
		}
		all.Go(func() {
			results[i].Err = driver.ErrUnavailable // if an application's client ends the goroutine
			results[i].Err = protect(func() (err error) {
				results[i].Stored, err = l.writer.store(ctx, fill.Lease.Key, fill.Value, fill.Options, state)
				return err
			})
		})
	}
	all.Wait()
}
