package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// leaser grants, extends and releases leases.
type leaser struct {
	admission *admission
	reader    *reader
	limits    limits
	// ttl is how long a lease lives, and ledgerTTL how long the ledger of its lane lives, both in
	// ms. The ledger outlives every lease that needs it.
	ttl, ledgerTTL string
	orphans        *orphans
}

// leaseState is what a lease of this strategy consists of.
type leaseState struct {
	token, epoch, sequence string
	asked                  time.Time // it was granted no earlier
}

// stateOf returns the state of a lease; false if another strategy has granted it.
func stateOf(lease *driver.Lease) (leaseState, bool) {
	if lease == nil {
		return leaseState{}, false
	}
	state, ok := lease.State.(leaseState)
	return state, ok
}

func newLeaser(a *admission, r *reader, ttl time.Duration, o *orphans) *leaser {
	return &leaser{
		admission: a, reader: r, limits: r.limits, orphans: o,
		ttl:       strconv.FormatInt(ttl.Milliseconds(), 10),
		ledgerTTL: strconv.FormatInt(2*ttl.Milliseconds()+1000, 10),
	}
}

// grant asks for a lease. With read, it returns the entry instead if there is one.
func (l *leaser) grant(o *operation, read bool) ([]byte, bool, *driver.Lease, error) {
	random, prefix := nonces(2), ""
	if read {
		prefix = o.lane.nonce
	}
	token, epoch := random[:nonceBytes], random[nonceBytes:]
	reply, err := leaseScript.Exec(o.ctx, o.conn, []string{o.value(), o.lease(), o.lane.ledger},
		[]string{prefix, token, l.ttl, epoch, l.ledgerTTL, l.limits.entryArg}).ToArray()
	if err = o.observe(err); err != nil {
		if mayHaveDone(err) {
			l.orphans.releaseLater(o.keyRef, token)
		}
		return nil, false, nil, err
	}
	switch len(reply) {
	case 1:
		raw, err := reply[0].AsBytes()
		if err != nil {
			return nil, false, nil, typed(err)
		}
		if !l.reader.alive(raw) { // by our clock; the server's is behind
			return l.grant(o, false)
		}
		payload, ok := entry(raw).payload()
		if !ok {
			return nil, false, nil, nil
		}
		value, found, err := l.reader.operationValue(o, raw, payload)
		if !found && err == nil { // the body is gone
			return l.grant(o, false)
		}
		return value, found, nil, err
	case 3:
		epoch, err := reply[1].ToString()
		sequence, failure := reply[2].ToString()
		if err = errors.Join(err, failure); err != nil {
			return nil, false, nil, typed(err)
		}
		return nil, false, &driver.Lease{Key: o.key, State: leaseState{token, epoch, sequence, o.began}}, nil
	}
	return nil, false, nil, nil
}

// extend makes a lease live for another ttl. It returns false if the lease is no longer held.
func (l *leaser) extend(o *operation, token string) (bool, error) {
	n, err := extendScript.Exec(o.ctx, o.conn, []string{o.lease(), o.lane.ledger, o.lane.earlier}, []string{token, l.ttl, l.ledgerTTL}).AsInt64()
	return n == 1, o.observe(err)
}

// release gives a lease up.
func (l *leaser) release(ctx context.Context, key, token string) error {
	o, err := l.admission.begin(ctx, key)
	if err != nil {
		return err
	}
	defer o.end()
	return o.observe(releaseScript.Exec(o.ctx, o.conn, []string{o.lease()}, []string{token}).Error())
}

// releaseLater releases a lease in the background, because its holder has no use for it any more.
func (l *leaser) releaseLater(key, token string) {
	l.orphans.releaseLater(l.admission.keys.of(key), token)
}
