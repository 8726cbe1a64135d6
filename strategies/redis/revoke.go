package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

const (
	// maxRevoking is how many revocations may be under way. Others wait.
	maxRevoking = 256
	// tagsPerScript is how many tags one call of invalidate.lua takes. Lua's stack has room for
	// about 8,000.
	tagsPerScript = 1000
)

// revoker deletes keys and invalidates tags. It always tries, even when reads are not let in,
// because nothing else may make a revocation come true. It keeps its deadline nevertheless: what
// rueidis still waits for then continues in the background, and can delete nothing but what is to
// be deleted.
type revoker struct {
	client       *client
	keys         *keyspace
	agreement    *agreement
	bulkheads    *bulkheads
	replicas     int           // that must confirm
	longestLease string        // ms, for how long a lease may exist
	running      chan struct{} // has room for maxRevoking
	sweeper      *sweeper
}

func newRevoker(a *admission, replicas int, longestLease time.Duration) *revoker {
	return &revoker{
		client: a.client, keys: a.keys, agreement: a.agreement, bulkheads: a.bulkheads, replicas: replicas,
		longestLease: strconv.FormatInt(longestLease.Milliseconds(), 10), running: make(chan struct{}, maxRevoking),
		sweeper: &sweeper{client: a.client, keys: a.keys},
	}
}

func (r *revoker) delete(ctx context.Context, keys []string) error {
	return r.agreed(ctx, func(conn rueidis.Client) error { return r.revoke(ctx, conn, r.keys.deletions(keys)) })
}

func (r *revoker) invalidate(ctx context.Context, tags []string) error {
	return r.agreed(ctx, func(conn rueidis.Client) error {
		var behind unconfirmed
		for part := range slices.Chunk(tags, tagsPerScript) {
			if err := behind.add(r.revoke(ctx, conn, r.keys.invalidations(part, r.longestLease))); err != nil {
				return err
			}
		}
		return behind.err
	})
}

// agreed runs a revocation, and says that it is not applied if other nodes may not see it. If they
// are known to make other keys, it runs nothing.
func (r *revoker) agreed(ctx context.Context, revoke func(rueidis.Client) error) error {
	conn, err := r.client.connected(ctx)
	if err != nil {
		return err
	}
	if err = r.agreement.differs(); err == nil {
		err = revoke(conn)
	}
	if err != nil && !errors.Is(err, driver.ErrNotReplicated) {
		return err
	}
	ctx, cancel := r.client.withDeadline(ctx)
	defer cancel()
	if disagreed := r.agreement.holds(ctx, time.Now()); disagreed != nil {
		return errors.Join(disagreed, err)
	}
	return err
}

// revoke returns nil only if every lane has applied it. What failed can be repeated as a whole.
func (r *revoker) revoke(ctx context.Context, conn rueidis.Client, lanes []revocation) error {
	run := r.detached
	if r.replicas > 0 {
		run = r.replicated
	}
	ctx, cancel := r.client.withDeadline(ctx)
	defer cancel()
	began := time.Now()
	failed := &LanesError{Of: len(lanes)}
	for i, err := range run(ctx, conn, lanes) {
		lane := lanes[i].lane.number
		if !errors.Is(err, driver.ErrNotReplicated) {
			err = r.client.observe(err)
			r.bulkheads.record(lane, err, began)
		}
		if err != nil {
			failed.Lanes = append(failed.Lanes, lane)
			failed.errs = append(failed.errs, err)
		}
	}
	if failed.errs == nil {
		return nil
	}
	return failed
}

// detached is pipelined, but returns when ctx ends.
func (r *revoker) detached(ctx context.Context, conn rueidis.Client, lanes []revocation) []error {
	errs, ok := inTime(ctx, r.running, func() []error { return pipelined(ctx, conn, lanes) })
	if !ok {
		return slices.Repeat([]error{ctx.Err()}, len(lanes))
	}
	return errs
}

// pipelined runs in all lanes at once, and again in those where that was not possible as it is.
func pipelined(ctx context.Context, conn rueidis.Client, lanes []revocation) []error {
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
	var again []int
	for i, err := range errs {
		if isNoScript(err) {
			again = append(again, i)
		}
	}
	send(false, again)
	for i, err := range errs {
		if isSplit(err) {
			errs[i] = lanes[i].keyByKey(func(keys []string) error { return unlinkEach(ctx, conn, keys) })
		}
	}
	return errs
}

// unlinkEach unlinks keys with one command for each of them, in one pipeline.
func unlinkEach(ctx context.Context, conn rueidis.Client, keys []string) error {
	commands := make([]rueidis.Completed, len(keys))
	for i, key := range keys {
		commands[i] = conn.B().Unlink().Key(key).Build()
	}
	for _, reply := range pipeline(ctx, conn, commands) {
		if err := reply.Error(); err != nil {
			return err
		}
	}
	return nil
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

// unconfirmed collects the results of several revocations that belong together. If replicas are
// behind with one of them, that one is applied nevertheless, and so the next ones must be applied
// as well. err is the first such error.
type unconfirmed struct{ err error }

// add returns err, unless it says only that replicas are behind.
func (u *unconfirmed) add(err error) error {
	var lanes *LanesError
	if !errors.As(err, &lanes) || !lanes.applied() {
		return err
	}
	if u.err == nil {
		u.err = err
	}
	return nil
}
