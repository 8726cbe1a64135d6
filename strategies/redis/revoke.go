package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

// revocation is what one lane has to forget.
type revocation struct {
	lane *laneKeys
	// guards are what a fill needs, and read what a reader needs: leases and values for Delete, the
	// ledger and nonces for InvalidateTags.
	guards, read []string
	// args of invalidate.lua; nil where the keys are unlinked and nothing else.
	args []string
}

// deletions returns what Delete does: one UNLINK for each lane that has any of keys.
func (k *keyspace) deletions(keys []string) []revocation {
	at := make(map[int]int)
	var all []revocation
	for _, key := range keys {
		ref := k.of(key)
		i, ok := at[ref.lane.number]
		if !ok {
			i = len(all)
			at[ref.lane.number] = i
			all = append(all, revocation{lane: ref.lane})
		}
		all[i].guards = append(all[i].guards, ref.lease())
		all[i].read = append(all[i].read, ref.value(), ref.body())
	}
	return all
}

// invalidations returns what InvalidateTags does: invalidate.lua in every lane.
func (k *keyspace) invalidations(tags []string, longestLease string) []revocation {
	args := make([]string, 1, 1+len(tags))
	args[0] = longestLease
	for _, tag := range tags {
		args = append(args, ledgerField(tag))
	}
	all := make([]revocation, len(k.lanes))
	for i := range all {
		lane := &k.lanes[i]
		all[i] = revocation{lane, []string{lane.ledger, lane.earlier}, k.nonces(make([]string, 0, len(tags)), lane, tags), args}
	}
	return all
}

// command does all of it as one. loaded says that the server is thought to know the script.
func (r revocation) command(b rueidis.Builder, loaded bool) rueidis.Completed {
	keys := slices.Concat(r.guards, r.read)
	switch {
	case r.args == nil:
		return b.Unlink().Key(keys...).Build()
	case loaded:
		return b.Evalsha().Sha1(invalidateSHA).Numkeys(int64(len(keys))).Key(keys...).Arg(r.args...).Build()
	default:
		return b.Eval().Script(invalidateText).Numkeys(int64(len(keys))).Key(keys...).Arg(r.args...).Build()
	}
}

// apart does it key by key. While a slot migrates its keys are on two nodes, and a command of several
// keys is refused (TRYAGAIN) unless one node has them all; a command of one key follows ASK to where
// the key is. What it takes more than command is a moment in which half of it is done, so the guards
// go first, and what is read only when they are gone:
//   - a fill that comes between needs its lease, or the epoch of its ledger, and is refused;
//   - one that came before is what is unlinked afterwards;
//   - a lease that is granted between was asked for after the revocation began: what its loader reads
//     is committed. At worst its fill is unlinked too, which is a miss.
//
// A lost ledger refuses every lease of its lane that is out, not only those of these tags.
func (r revocation) keyByKey(unlink func(keys []string) error) error {
	if err := unlink(r.guards); err != nil {
		return err
	}
	return unlink(r.read)
}

// maxRevoking is how many revocations are under way at a time, and maxBatching how many batches of reads or
// writes; others wait. maxDropping is how many entries are dropped at a time; others stay.
const (
	maxRevoking = 256
	maxBatching = 64
	maxDropping = 4
)

// heeded runs a revocation, and says that it is not applied where other nodes may not heed it. Where they
// are known to make other keys it does nothing.
func (st *store) agreed(ctx context.Context, revoke func() error) error {
	err := st.agreement.differs()
	if err == nil {
		err = revoke()
	}
	if err != nil && !errors.Is(err, cache.ErrNotReplicated) {
		return err
	}
	ctx, cancel := st.withDeadline(ctx)
	defer cancel()
	if unheeded := st.agreement.holds(ctx, time.Now()); unheeded != nil {
		return errors.Join(unheeded, err)
	}
	return err
}

// revoke returns nil only when every lane has applied it. What failed can be repeated as a whole. It is
// always tried, also where reads are not (see gate), and nevertheless keeps its deadline: what rueidis
// still waits for then goes on in the background, and can delete nothing but what is to be deleted.
func (st *store) revoke(ctx context.Context, conn rueidis.Client, lanes []revocation) error {
	of := st.detached
	if st.replicas > 0 {
		of = st.replicated
	}
	ctx, cancel := st.withDeadline(ctx)
	defer cancel()
	began := time.Now()
	failed := &LanesError{Of: len(lanes)}
	for i, err := range of(ctx, conn, lanes) {
		if !errors.Is(err, cache.ErrNotReplicated) {
			err = st.observe(err)
			st.record(lanes[i].lane.number, err, began)
		}
		if err != nil {
			failed.Lanes = append(failed.Lanes, lanes[i].lane.number)
			failed.errs = append(failed.errs, err)
		}
	}
	if failed.errs == nil {
		return nil
	}
	return failed
}

// detached is pipelined, but not beyond the end of ctx.
func (st *store) detached(ctx context.Context, conn rueidis.Client, lanes []revocation) []error {
	errs, ok := inTime(ctx, st.revoking, func() []error { return st.pipelined(ctx, conn, lanes) })
	if !ok {
		return slices.Repeat([]error{ctx.Err()}, len(lanes))
	}
	return errs
}

// inTime returns what work does, or false when ctx ends before. Work then goes on, and keeps its room. A
// panic of work, which an application's client may have, is the caller's.
func inTime[T any](ctx context.Context, room chan struct{}, work func() T) (result T, ok bool) {
	select {
	case room <- struct{}{}:
	case <-ctx.Done():
		return result, false
	}
	type end struct {
		result   T
		panicked any
	}
	done := make(chan end, 1)
	go func() {
		var e end
		defer func() {
			e.panicked = recover()
			<-room
			done <- e
		}()
		e.result = work()
	}()
	select {
	case e := <-done:
		if e.panicked != nil {
			panic(e.panicked)
		}
		return e.result, true
	case <-ctx.Done():
		return result, false
	}
}

// protect runs what an application's client may let panic, in a goroutine of ours.
func protect(run func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("%w: the client panicked with a %T", cache.ErrUnavailable, value)
		}
	}()
	return run()
}

// pipelined runs in all lanes at once, and again where that was not possible as it is.
func (st *store) pipelined(ctx context.Context, conn rueidis.Client, lanes []revocation) []error {
	errs := make([]error, len(lanes))
	send := func(loaded bool, which []int) {
		if len(which) == 0 {
			return
		}
		commands := make([]rueidis.Completed, len(which))
		for i, at := range which {
			commands[i] = lanes[at].command(conn.B(), loaded)
		}
		for i, reply := range conn.DoMulti(ctx, commands...) {
			errs[which[i]] = reply.Error()
		}
	}
	every := make([]int, len(lanes))
	for i := range lanes {
		every[i] = i
	}
	send(true, every)
	var unknown []int
	for i, err := range errs {
		if isNoScript(err) {
			unknown = append(unknown, i)
		}
	}
	send(false, unknown)
	for i, err := range errs {
		if isSplit(err) {
			errs[i] = lanes[i].keyByKey(func(keys []string) error {
				commands := make([]rueidis.Completed, len(keys))
				for k, key := range keys {
					commands[k] = conn.B().Unlink().Key(key).Build()
				}
				var first error
				for _, reply := range conn.DoMulti(ctx, commands...) {
					if err := reply.Error(); first == nil {
						first = err
					}
				}
				return first
			})
		}
	}
	return errs
}

func isNoScript(err error) bool {
	answer, ok := rueidis.IsRedisErr(err)
	return ok && answer.IsNoScript()
}

// isSplit reports whether the keys of a command are not all on one node.
func isSplit(err error) bool {
	var answer *ServerError
	return errors.As(typed(err), &answer) && answer.Code == tryAgain
}
