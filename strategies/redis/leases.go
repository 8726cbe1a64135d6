package redis

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// perScript is how many keys one call of a script has: a server does nothing else meanwhile.
const perScript = 128

// leases asks for, extends, fills and releases the leases of many keys, in one pipeline for each
// node. Like all batches, it passes no bulkhead.
type leases struct {
	*batcher

	leaser *leaser
}

// room is about how many of so many keys one call of a script has.
func (l *leases) room(keys int) int {
	return min(perScript, keys, keys/len(l.leaser.admission.keys.lanes)+8)
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
			return l.withLarge(ctx, r)
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
		g.hold(r.requests[of[c][0]].token, began)
		for n, i := range of[c] {
			if err != nil {
				r.results[i].Err = err
			} else if l.take(r, i, &g, n) {
				late = append(late, i)
			}
		}
	}
	return late
}

// take takes the answer to one request. It reports whether an entry came that has expired by our
// own clock.
func (l *leases) take(r *leaseRead, i int, g *grants, n int) (late bool) {
	raw, err := g.entry(n)
	if err != nil || raw == nil {
		r.results[i].Err, r.results[i].Lease = err, g.lease(n, r.requests[i].key)
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
			lanes[lane], parts = n, append(parts, make([]int, 0, l.room(len(some))))
		}
		parts[n] = append(parts[n], i)
	}
	return parts
}

// withLarge reads the bodies of large values. For one whose body is gone it asks for the lease.
func (l *leases) withLarge(ctx context.Context, r *leaseRead) []driver.LeaseResult {
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
