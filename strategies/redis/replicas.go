package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

// maxWaits is how many lanes of one revocation wait for replicas at a time, each on a connection of its
// own: one after the other, 64 lanes would take 128 round trips within one deadline.
const maxWaits = 16

// replicated runs the lanes side by side, and waits for the replicas of each.
func (st *store) replicated(ctx context.Context, conn rueidis.Client, lanes []revocation) []error {
	errs := make([]error, len(lanes))
	turns := make(chan struct{}, maxWaits)
	var group sync.WaitGroup
	for i, lane := range lanes {
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			err := st.confirmed(ctx, conn, lane.mark, func() rueidis.Completed { return lane.command(conn.B(), true) })
			if isNoScript(err) {
				err = st.confirmed(ctx, conn, lane.mark, func() rueidis.Completed { return lane.command(conn.B(), false) })
			}
			if isSplit(err) {
				err = lane.apart(func(keys []string) error {
					for _, key := range keys {
						err := st.confirmed(ctx, conn, lane.mark, func() rueidis.Completed { return conn.B().Unlink().Key(key).Build() })
						if err != nil {
							return err
						}
					}
					return nil
				})
			}
			errs[i] = err
		})
	}
	group.Wait()
	return errs
}

// confirmed runs a deletion and waits, on the same connection, until enough replicas have it: on
// another connection WAIT would prove nothing. rueidis follows no redirection on such a connection, so
// that is done here.
func (st *store) confirmed(ctx context.Context, conn rueidis.Client, mark string, command func() rueidis.Completed) error {
	node, asking := conn, false
	for moves := 0; ; moves++ {
		err := node.Dedicated(func(own rueidis.DedicatedClient) error {
			changes, err := ask(ctx, own, asking, command()).AsInt64()
			if err == nil && changes == 0 { // see mark.lua
				err = ask(ctx, own, asking, own.B().Eval().Script(markText).Numkeys(1).Key(mark).Build()).Error()
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
			switch {
			case err == nil && acks < int64(st.replicas):
				return fmt.Errorf("%w: %d of %d replicas have it", cache.ErrNotReplicated, acks, st.replicas)
			case errors.Is(err, context.DeadlineExceeded): // Redis looks at its clock every 100 ms only
				return fmt.Errorf("%w: %w", cache.ErrNotReplicated, err)
			}
			return err
		})
		address, once, ok := redirection(err)
		if !ok || moves == maxMoves {
			return err
		}
		to, known := conn.Nodes()[address]
		if !known {
			return err // the client looks for it, now that it has seen the answer
		}
		node, asking = to, once
	}
}

// ask runs a command, after ASKING where the node serves its slot only to those who were sent.
func ask(ctx context.Context, own rueidis.DedicatedClient, asking bool, command rueidis.Completed) rueidis.RedisResult {
	if !asking {
		return own.Do(ctx, command)
	}
	return own.DoMulti(ctx, own.B().Arbitrary("ASKING").Build(), command)[1]
}

// redirection returns the node that a command was sent to instead, and whether that is for once.
func redirection(err error) (address string, once, ok bool) {
	answer, ok := rueidis.IsRedisErr(err)
	if !ok {
		return "", false, false
	}
	if address, ok = answer.IsMoved(); ok {
		return address, false, true
	}
	address, ok = answer.IsAsk()
	return address, ok, ok
}
