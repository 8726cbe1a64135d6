package redis

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"
)

// admission decides which operations may be sent. Revocations do not ask it, see revoker.
type admission struct {
	client    *client
	keys      *keyspace
	agreement *agreement
	bulkheads *bulkheads
}

// operation is one call under way that concerns one key.
type operation struct {
	keyRef

	client    *client
	bulkheads *bulkheads
	key       string
	conn      rueidis.Client
	ctx       context.Context //nolint:containedctx // an operation lives no longer than a call
	cancel    context.CancelFunc
	bulkhead  *bulkhead // nil after leave
	began     time.Time
	sent      time.Time // when it had got its place
}

// begin returns an operation that has a deadline and a place in the bulkhead of its lane. The
// caller must call its end.
func (a *admission) begin(ctx context.Context, key string) (operation, error) {
	conn, err := a.client.connected(ctx)
	if err != nil {
		return operation{}, err
	}
	o := operation{client: a.client, bulkheads: a.bulkheads, keyRef: a.keys.of(key), key: key, conn: conn, began: time.Now()}
	o.ctx, o.cancel = a.client.withDeadline(ctx)
	o.bulkhead = &a.bulkheads.lanes[o.lane.number]
	err = a.agreement.holds(o.ctx, o.began)
	if err == nil {
		if err = o.bulkhead.enter(o.ctx); errors.Is(err, errNoAnswer) {
			err = a.client.because(err)
		}
	}
	if err != nil {
		o.cancel()
		return operation{}, err
	}
	if err := a.client.serving(o.ctx); err != nil {
		o.end()
		return operation{}, err
	}
	o.sent = time.Now()
	return o, nil
}

// batch returns an error if a batch of many keys, which passes no bulkhead, may not be sent.
func (a *admission) batch(ctx context.Context) error {
	return errors.Join(a.agreement.holds(ctx, time.Now()), a.client.serving(ctx))
}

func (o *operation) end() {
	o.leave()
	o.cancel()
}

// leave gives up the place of the operation, if it still has one.
func (o *operation) leave() {
	if o.bulkhead != nil {
		o.bulkhead.leave()
		o.bulkhead = nil
	}
}

// observe records how the operation ended, and returns its error as one of ours.
func (o *operation) observe(err error) error {
	err = o.client.observe(err)
	o.bulkheads.record(o.lane.number, err, o.sent)
	return err
}
