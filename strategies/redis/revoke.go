package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

// revoke sends deletions, one for each lane, and returns nil only when all were applied. What failed
// can be repeated as a whole.
func (st *store) revoke(ctx context.Context, conn rueidis.Client, commands []rueidis.Completed) error {
	if st.replicas > 0 {
		return st.each(len(commands), func(i int) error { return st.replicated(ctx, conn, commands[i]) })
	}
	replies := conn.DoMulti(ctx, commands...)
	return st.each(len(replies), func(i int) error { return st.answered(replies[i].Error()) })
}

// invalidate runs the script in every lane, in one pipeline.
func (st *store) invalidate(ctx context.Context, conn rueidis.Client, tags []string) error {
	names, fields := make([]string, len(tags)), make([]string, len(tags))
	namespace := ""
	for i, tag := range tags {
		namespace, names[i] = split(tag)
		fields[i] = bucket(tag)
	}
	calls := make([]rueidis.LuaExec, st.names.lanes)
	for lane := range calls {
		begin := st.names.in(namespace).lanes[lane]
		keys := append(make([]string, 0, 1+len(names)), begin.ledger)
		for _, name := range names {
			keys = append(keys, begin.tag+name)
		}
		calls[lane] = rueidis.LuaExec{Keys: keys, Args: fields}
	}
	if st.replicas > 0 {
		return st.each(len(calls), func(i int) error {
			return st.replicated(ctx, conn, evalsha(conn, invalidateSHA, calls[i]), eval(conn, invalidateText, calls[i]))
		})
	}
	commands := make([]rueidis.Completed, len(calls))
	for i, call := range calls {
		commands[i] = evalsha(conn, invalidateSHA, call)
	}
	replies := conn.DoMulti(ctx, commands...)
	return st.each(len(replies), func(i int) error {
		err := replies[i].Error()
		if isNoScript(err) {
			err = conn.Do(ctx, eval(conn, invalidateText, calls[i])).Error()
		}
		return st.answered(err)
	})
}

// each collects the errors of lanes.
func (st *store) each(lanes int, of func(i int) error) error {
	var failures []error
	for i := range lanes {
		if err := of(i); err != nil {
			failures = append(failures, err)
		}
	}
	if len(failures) == 0 {
		return nil
	}
	return fmt.Errorf("not applied in %d of %d lanes; repeat it: %w", len(failures), lanes, errors.Join(failures...))
}

// replicated runs a deletion and waits, on the same connection, until enough replicas have it: on
// another connection WAIT would prove nothing. fallback replaces a script that the server does not know.
func (st *store) replicated(ctx context.Context, conn rueidis.Client, command rueidis.Completed, fallback ...rueidis.Completed) error {
	err := conn.Dedicated(func(own rueidis.DedicatedClient) error {
		err := own.Do(ctx, command).Error()
		if isNoScript(err) && len(fallback) > 0 {
			err = own.Do(ctx, fallback[0]).Error()
		}
		if err != nil {
			return err
		}
		patience := st.timeout
		if deadline, ok := ctx.Deadline(); ok {
			// Nine tenths, so that the answer arrives before the deadline.
			patience = time.Until(deadline) * 9 / 10
		}
		acks, err := own.Do(ctx, own.B().Wait().Numreplicas(int64(st.replicas)).Timeout(max(1, patience.Milliseconds())).Build()).AsInt64()
		if err == nil && acks < int64(st.replicas) {
			return fmt.Errorf("%w: %d of %d replicas have it", cache.ErrNotReplicated, acks, st.replicas)
		}
		return err
	})
	if errors.Is(err, cache.ErrNotReplicated) {
		return err
	}
	return st.answered(err)
}

func evalsha(conn rueidis.Client, sha string, call rueidis.LuaExec) rueidis.Completed {
	return conn.B().Evalsha().Sha1(sha).Numkeys(int64(len(call.Keys))).Key(call.Keys...).Arg(call.Args...).Build()
}

func eval(conn rueidis.Client, text string, call rueidis.LuaExec) rueidis.Completed {
	return conn.B().Eval().Script(text).Numkeys(int64(len(call.Keys))).Key(call.Keys...).Arg(call.Args...).Build()
}

func isNoScript(err error) bool {
	answer, ok := rueidis.IsRedisErr(err)
	return ok && answer.IsNoScript()
}
