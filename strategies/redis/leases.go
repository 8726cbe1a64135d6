package redis

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

const (
	// perScript is how many keys one call of a script has: a server does nothing else meanwhile.
	perScript = 64
	// perStore is about how many bytes of values one call of a script stores.
	perStore = 256 << 10
)

// leases asks for, extends, fills and releases the leases of many keys, in one pipeline for each
// node. Like all batches, it passes no bulkhead.
type leases struct {
	*batcher

	leaser *leaser
}

// request is one lease that is asked for.
type request struct {
	key   string
	ref   keyRef
	token string
}

// ask asks for leases. With read, the entries that there are come instead.
func (l *leases) ask(ctx context.Context, keys []string, read bool) []driver.LeaseResult {
	conn, err := l.client.connected(ctx)
	if err == nil {
		ctx, cancel := l.client.withDeadline(ctx)
		defer cancel()
		if err := l.admission.batch(ctx); err != nil {
			return slices.Repeat([]driver.LeaseResult{{Err: err}}, len(keys))
		}
		requests, token := make([]request, len(keys)), nonces(1)
		for i, key := range keys {
			requests[i] = request{key, l.reader.keys.of(key), token}
		}
		var sent atomic.Bool
		r, ok := inTime(ctx, l.running, func() *leaseRead {
			sent.Store(true)
			return l.send(ctx, conn, requests, read)
		})
		if ok {
			return l.withLarge(ctx, conn, r)
		}
		err = ctx.Err()
		if sent.Load() { // they may be granted, now or later
			l.releaseLater(requests...)
		}
	}
	return slices.Repeat([]driver.LeaseResult{{Err: err}}, len(keys))
}

func (l *leases) releaseLater(requests ...request) {
	for _, r := range requests {
		l.leaser.orphans.releaseLater(r.ref, r.token)
	}
}

// leaseRead is the answer to many requests.
type leaseRead struct {
	requests []request
	results  []driver.LeaseResult
	large    []largeHit
}

// send sends requests, and once more those for whose entries, by our clock, it is too late.
func (l *leases) send(ctx context.Context, conn rueidis.Client, requests []request, read bool) *leaseRead {
	r := &leaseRead{requests: requests, results: make([]driver.LeaseResult, len(requests))}
	all := make([]int, len(requests))
	for i := range all {
		all[i] = i
	}
	if late := l.sendSome(ctx, conn, r, all, read); len(late) > 0 {
		l.sendSome(ctx, conn, r, late, false)
	}
	return r
}

// sendSome sends some of the requests, and returns which of them have no use for the entry that
// came.
func (l *leases) sendSome(ctx context.Context, conn rueidis.Client, r *leaseRead, some []int, read bool) (late []int) {
	var calls []laneCall
	var of [][]int
	began := time.Now()
	for _, part := range l.byLane(r.requests, some) {
		refs := make([]keyRef, len(part))
		for n, i := range part {
			refs[n] = r.requests[i].ref
		}
		lane := refs[0].lane
		calls, of = append(calls, laneCall{lane, l.leaser.call(lane, refs, r.requests[part[0]].token, read)}), append(of, part)
	}
	for c, reply := range runAll(ctx, conn, leaseSHA, leaseText, calls) {
		messages, err := reply.ToArray()
		if err = l.client.observe(err); err != nil {
			for _, i := range of[c] {
				r.results[i].Err = err
				if mayHaveDone(err) {
					l.releaseLater(r.requests[i])
				}
			}
			continue
		}
		g, err := grantsOf(messages, len(of[c]))
		for n, i := range of[c] {
			if err != nil {
				r.results[i].Err = err
			} else if l.take(r, i, &g, n, began) {
				late = append(late, i)
			}
		}
	}
	return late
}

// take takes the answer to one request. It reports whether an entry came that has expired by our
// own clock.
func (l *leases) take(r *leaseRead, i int, g *grants, n int, began time.Time) (late bool) {
	raw, err := g.entry(n)
	if err != nil || raw == nil {
		r.results[i].Err, r.results[i].Lease = err, g.lease(n, r.requests[i].key, r.requests[i].token, began)
		return false
	}
	if !l.reader.alive(raw) {
		return true
	}
	payload, ok := raw.payload()
	switch {
	case !ok:
	case raw[0] == largeFormat:
		r.large = append(r.large, largeHit{i, raw, payload})
	default:
		r.results[i].Value, r.results[i].Found = payload, true
	}
	return false
}

// byLane divides requests by lane, and into parts of no more than perScript.
func (l *leases) byLane(requests []request, some []int) (parts [][]int) {
	lanes := make(map[*laneKeys]int) // the part that has room
	for _, i := range some {
		lane := requests[i].ref.lane
		n, there := lanes[lane]
		if !there || len(parts[n]) >= perScript {
			n = len(parts)
			lanes[lane], parts = n, append(parts, nil)
		}
		parts[n] = append(parts[n], i)
	}
	return parts
}

// withLarge reads the bodies of large values. For one whose body is gone it asks for the lease.
func (l *leases) withLarge(ctx context.Context, conn rueidis.Client, r *leaseRead) []driver.LeaseResult {
	var all sync.WaitGroup
	for _, h := range r.large {
		all.Go(func() {
			result := &r.results[h.i]
			result.Value, result.Found, result.Err = l.reader.value(ctx, r.requests[h.i].ref, h.entry, h.payload)
		})
	}
	all.Wait()
	for _, h := range r.large {
		if result := &r.results[h.i]; !result.Found && result.Err == nil {
			again := l.ask(ctx, []string{r.requests[h.i].key}, false)
			*result = again[0]
		}
	}
	return r.results
}

// fill stores many entries under their leases.
func (l *leases) fill(ctx context.Context, fills []driver.Fill) []driver.FillResult {
	conn, err := l.client.connected(ctx)
	if err == nil {
		ctx, cancel := l.client.withDeadline(ctx)
		defer cancel()
		if err = l.admission.batch(ctx); err == nil {
			fills := slices.Clone(fills) // the batch may continue after this function has returned
			for i := range fills {
				fills[i].Value = bytes.Clone(fills[i].Value)
				fills[i].Options.Tags = slices.Clone(fills[i].Options.Tags)
			}
			if results, ok := inTime(ctx, l.running, func() []driver.FillResult { return l.fillSmall(ctx, conn, fills) }); ok {
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

// fillSmall stores all values but the large ones.
func (l *leases) fillSmall(ctx context.Context, conn rueidis.Client, fills []driver.Fill) []driver.FillResult {
	results := make([]driver.FillResult, len(fills))
	var hidden []int // what must not stay readable
	var parts [][]item
	lanes := make(map[*laneKeys]int) // the part that has room
	for i, fill := range fills {
		state, ok := stateOf(fill.Lease)
		if !ok || len(fill.Value) > inline {
			continue
		}
		prepared, err := l.writer.prepare(l.writer.keys.of(fill.Lease.Key), fill.Value, fill.Options, state)
		if err != nil {
			results[i].Err = err
			hidden = append(hidden, i)
			continue
		}
		prepared.caller = i
		lane := prepared.ref.lane
		n, there := lanes[lane]
		if !there || !roomFor(parts[n], prepared) {
			n = len(parts)
			lanes[lane], parts = n, append(parts, nil)
		}
		parts[n] = append(parts[n], prepared)
	}
	calls := make([]laneCall, len(parts))
	for n, part := range parts {
		lane := part[0].ref.lane
		calls[n] = laneCall{lane, l.writer.storeCall(lane, part...)}
	}
	for n, reply := range runAll(ctx, conn, storeSHA, storeText, calls) {
		stored, err := storedBy(reply, len(parts[n]))
		err = l.client.observe(err)
		for at, i := range parts[n] {
			if results[i.caller].Err = err; err == nil {
				results[i.caller].Stored = stored[at] == 1
			} else if isAnswer(err) { // refused before it began, for lack of memory for example
				hidden = append(hidden, i.caller)
			}
		}
	}
	l.hideAll(ctx, fills, results, hidden)
	return results
}

// roomFor reports whether a call of the script that stores part may store one more.
func roomFor(part []item, more item) bool {
	size, tags := len(more.value), len(more.tags)
	for _, i := range part {
		size, tags = size+len(i.value), tags+len(i.tags)
	}
	return len(part) < perScript && size <= perStore && tags <= maxTags
}

// hideAll removes the entries that refused ones should have replaced.
func (l *leases) hideAll(ctx context.Context, fills []driver.Fill, results []driver.FillResult, hidden []int) {
	if len(hidden) == 0 {
		return
	}
	keys := make([]string, len(hidden))
	for n, i := range hidden {
		keys[n] = fills[i].Lease.Key
	}
	if err := l.writer.hide(ctx, keys...); err != nil {
		for _, i := range hidden {
			results[i].Err = errors.Join(results[i].Err, err)
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

// extend extends leases, none of which is extended beyond longest.
func (l *leases) extend(ctx context.Context, held []*driver.Lease, term, longest time.Duration) []driver.HoldResult {
	results := make([]driver.HoldResult, len(held))
	var calls []laneCall
	var of []int
	for i, lease := range held {
		if state, ok := stateOf(lease); ok && time.Since(state.asked)+term <= longest {
			k := l.writer.keys.of(lease.Key)
			calls = append(calls, laneCall{k.lane, rueidis.LuaExec{
				Keys: []string{k.lease(), k.lane.ledger, k.lane.earlier}, Args: []string{state.token, l.leaser.ttl, l.leaser.ledgerTTL},
			}})
			of = append(of, i)
		}
	}
	answers, errs := l.each(ctx, extendSHA, extendText, calls)
	for n, i := range of {
		results[i] = driver.HoldResult{Held: errs[n] == nil && answers[n] == 1, Err: errs[n]}
	}
	return results
}

// release gives leases up. What fails is tried again in the background.
func (l *leases) release(ctx context.Context, held []*driver.Lease) []error {
	failures := make([]error, len(held))
	var calls []laneCall
	var of []int
	for i, lease := range held {
		if state, ok := stateOf(lease); ok {
			k := l.writer.keys.of(lease.Key)
			calls, of = append(calls, laneCall{k.lane, rueidis.LuaExec{Keys: []string{k.lease()}, Args: []string{state.token}}}), append(of, i)
		}
	}
	_, errs := l.each(ctx, releaseSHA, releaseText, calls)
	for n, i := range of {
		if failures[i] = errs[n]; errs[n] != nil {
			state, _ := stateOf(held[i])
			l.leaser.releaseLater(held[i].Key, state.token)
		}
	}
	return failures
}

// each runs a script that answers with a number, once for each lease.
func (l *leases) each(ctx context.Context, sha, text string, calls []laneCall) (answers []int64, errs []error) {
	fail := func(err error) ([]int64, []error) { return nil, slices.Repeat([]error{err}, len(calls)) }
	if len(calls) == 0 {
		return nil, nil
	}
	conn, err := l.client.connected(ctx)
	if err != nil {
		return fail(err)
	}
	ctx, cancel := l.client.withDeadline(ctx)
	defer cancel()
	if err := l.admission.batch(ctx); err != nil {
		return fail(err)
	}
	type end struct {
		answers []int64
		errs    []error
	}
	e, ok := inTime(ctx, l.running, func() (e end) {
		e.answers, e.errs = make([]int64, len(calls)), make([]error, len(calls))
		for i, reply := range runAll(ctx, conn, sha, text, calls) {
			n, err := reply.AsInt64()
			e.answers[i], e.errs[i] = n, l.client.observe(err)
		}
		return e
	})
	if !ok {
		return fail(ctx.Err())
	}
	return e.answers, e.errs
}
