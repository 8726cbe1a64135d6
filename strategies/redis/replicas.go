package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// maxWaits is how many lanes of one revocation wait for replicas at a time, each on its own
// connection. One after the other, 64 lanes would need 128 round trips within one deadline.
const maxWaits = 16

// replicated runs the lanes side by side and waits for the replicas of each, but returns when ctx
// ends: next to a hung server, rueidis takes a second or two to make or to give back a connection.
// What continues in the background then ends by itself, and can delete nothing but what is to be
// deleted.
func (r *revoker) replicated(ctx context.Context, conn rueidis.Client, lanes []revocation) []error {
	type end struct {
		at  int
		err error
	}
	select {
	case r.running <- struct{}{}:
	case <-ctx.Done():
		return slices.Repeat([]error{ctx.Err()}, len(lanes))
	}
	var running sync.WaitGroup
	ends := make(chan end, len(lanes))
	runs := make([]*laneRun, len(lanes))
	turns := make(chan struct{}, maxWaits)
	for i, lane := range lanes {
		runs[i] = &laneRun{revocation: lane, conn: conn, replicas: r.replicas, timeout: r.client.timeout}
		running.Go(func() {
			select {
			case turns <- struct{}{}:
				defer func() { <-turns }()
				ends <- end{i, protect(func() error { return runs[i].run(ctx) })}
			case <-ctx.Done():
			}
		})
	}
	go func() { // also after this function has returned
		running.Wait()
		<-r.running
	}()
	errs, ended := make([]error, len(lanes)), make([]bool, len(lanes))
	for range lanes {
		select {
		case e := <-ends:
			errs[e.at], ended[e.at] = e.err, true
		case <-ctx.Done():
		}
	}
	for i := range errs {
		if !ended[i] {
			errs[i] = ctx.Err()
		}
		if errors.Is(errs[i], context.DeadlineExceeded) && runs[i].applied.Load() {
			errs[i] = fmt.Errorf("%w: no answer in time", driver.ErrNotReplicated) // not a deadline: it is applied
		}
	}
	return errs
}

// laneRun is one lane's revocation that waits for replicas.
type laneRun struct {
	revocation

	conn     rueidis.Client
	replicas int
	timeout  time.Duration
	applied  atomic.Bool // all of it
}

func (r *laneRun) run(ctx context.Context) error {
	err := r.confirmed(ctx, true, func() rueidis.Completed { return r.command(r.conn.B(), true) })
	if isNoScript(err) {
		err = r.confirmed(ctx, true, func() rueidis.Completed { return r.command(r.conn.B(), false) })
	}
	if !isSplit(err) {
		return err
	}
	left := len(r.guards) + len(r.read)
	return r.keyByKey(func(keys []string) error {
		for _, key := range keys {
			left--
			err := r.confirmed(ctx, left == 0, func() rueidis.Completed { return r.conn.B().Unlink().Key(key).Build() })
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// confirmed runs a deletion and waits until enough replicas have it. WAIT must be on the same
// connection: on another one it would prove nothing. rueidis follows no redirection on such a
// connection, so this function does. last says that nothing is left to be deleted afterwards.
func (r *laneRun) confirmed(ctx context.Context, last bool, command func() rueidis.Completed) error {
	node, asking := r.conn, false
	for moves := 0; ; moves++ {
		err := node.Dedicated(func(own rueidis.DedicatedClient) error {
			changes, err := ask(ctx, own, asking, command()).AsInt64()
			if err == nil && last {
				r.applied.Store(true)
			}
			if err == nil && changes == 0 { // see mark.lua
				mark := own.B().Eval().Script(markText).Numkeys(1).Key(r.lane.mark).Build()
				err = ask(ctx, own, asking, mark).Error()
			}
			if err != nil {
				return err
			}
			return r.wait(ctx, own, last)
		})
		address, once, ok := redirection(err)
		if !ok || moves == maxMoves {
			return err
		}
		to, known := r.conn.Nodes()[address]
		if !known {
			return err // the client looks for it, now that it has seen the answer
		}
		node, asking = to, once
	}
}

// wait waits until enough replicas have what this connection wrote.
func (r *laneRun) wait(ctx context.Context, own rueidis.DedicatedClient, last bool) error {
	wait := r.timeout
	if deadline, ok := ctx.Deadline(); ok {
		// Nine tenths, so that the answer arrives before the deadline.
		wait = time.Until(deadline) * 9 / 10
	}
	acks, err := own.Do(ctx, own.B().Wait().Numreplicas(int64(r.replicas)).Timeout(max(1, wait.Milliseconds())).Build()).AsInt64()
	if err == nil && acks < int64(r.replicas) && !last {
		// Not ErrNotReplicated, which would say that everything is applied.
		return fmt.Errorf("%w: a part of it is done, and %d of %d replicas have that", driver.ErrUnavailable, acks, r.replicas)
	}
	if err == nil && acks < int64(r.replicas) {
		return fmt.Errorf("%w: %d of %d replicas have it", driver.ErrNotReplicated, acks, r.replicas)
	}
	return err
}

// ask runs a command. With asking, it first sends ASKING: the node serves its slot only to clients
// that were redirected to it.
func ask(ctx context.Context, own rueidis.DedicatedClient, asking bool, command rueidis.Completed) rueidis.RedisResult {
	if !asking {
		return own.Do(ctx, command)
	}
	return own.DoMulti(ctx, own.B().Arbitrary("ASKING").Build(), command)[1]
}

// redirection returns the node that a command was redirected to, and whether only for once.
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
