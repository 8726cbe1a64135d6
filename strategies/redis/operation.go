package redis

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

// operation is one call under way that concerns one key.
type operation struct {
	*store
	keyRef

	key    string
	conn   rueidis.Client
	ctx    context.Context //nolint:containedctx // an operation is no longer than a call
	cancel context.CancelFunc
	bulkhead   *bulkhead
	began  time.Time
	sent   time.Time // when it had got its place
}

// begin returns an operation with a deadline. Its end must be called.
func (s *Strategy) begin(ctx context.Context, key string) (operation, error) {
	st, conn, err := s.connected(ctx)
	if err != nil {
		return operation{}, err
	}
	o := operation{store: st, keyRef: st.keys.of(key), key: key, conn: conn, ctx: ctx, began: time.Now()}
	o.ctx, o.cancel = st.withDeadline(ctx)
	o.bulkhead = &st.bulkheads[o.lane.number]
	err = st.agreement.holds(o.ctx, o.began)
	if err == nil {
		err = o.bulkhead.enter(o.ctx)
	}
	if err != nil {
		o.cancel()
		return operation{}, err
	}
	if err := st.serving(o.ctx); err != nil {
		o.end()
		return operation{}, err
	}
	o.sent = time.Now()
	return o, nil
}

func (o *operation) end() {
	o.leave()
	o.cancel()
}

// leave gives the place of the operation up, if it still has one.
func (o *operation) leave() {
	if o.bulkhead != nil {
		o.bulkhead.leave()
		o.bulkhead = nil
	}
}

// answered takes note of how the operation went, and returns its error as one of ours.
func (o *operation) observe(err error) error {
	err = o.store.observe(err)
	o.record(o.lane.number, err, o.sent)
	return err
}

// open returns the store and its connection.
func (s *Strategy) connected(ctx context.Context) (*store, rueidis.Client, error) {
	st := s.store.Load()
	if st == nil {
		return nil, nil, cache.ErrClosed
	}
	conn, err := st.use()
	if err != nil {
		return nil, nil, err
	}
	return st, conn, ctx.Err()
}

// bounded gives ctx a deadline where it has none.
func (st *store) withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, bounded := ctx.Deadline(); bounded {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, st.timeout)
}
