package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// leaser grants, extends and releases leases.
type leaser struct {
	admission *admission
	reader    *reader
	limits    *liveLimits
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

// call is the call of the script that asks for leases on keys of one lane, all with one token. With
// read, an entry that there is comes instead.
func (l *leaser) call(lane *laneKeys, refs []keyRef, token string, read bool) rueidis.LuaExec {
	keys, prefix := append(make([]string, 0, 1+2*len(refs)), lane.ledger), ""
	if read {
		prefix = lane.nonce
	}
	keys = appendKeys(appendKeys(keys, lane.value, refs), lane.lease, refs)
	return rueidis.LuaExec{Keys: keys, Args: []string{prefix, l.ttl, nonces(1), l.ledgerTTL, l.limits.Load().entryArg, token}}
}

// grants is what the script answers for the keys of one lane.
type grants struct {
	replies         []rueidis.RedisMessage
	epoch, sequence string
	state           any            // of all leases, see hold
	leases          []driver.Lease // with room for all, in one allocation
}

func grantsOf(reply []rueidis.RedisMessage, keys int) (g grants, err error) {
	if len(reply) != keys && len(reply) != keys+2 {
		return g, errShortReply
	}
	if g.replies = reply[:keys]; len(reply) > keys {
		epoch, err := reply[keys].ToString()
		sequence, failure := reply[keys+1].ToString()
		g.epoch, g.sequence = epoch, sequence
		return g, typed(errors.Join(err, failure))
	}
	return g, nil
}

// entry returns the entry of a key, or nil.
func (g *grants) entry(i int) (entry, error) {
	if g.replies[i].IsInt64() {
		return nil, nil
	}
	raw, err := g.replies[i].AsBytes()
	return raw, typed(err)
}

// hold notes with which token the leases were asked for, and when.
func (g *grants) hold(token string, asked time.Time) {
	g.state = leaseState{token, g.epoch, g.sequence, asked}
	g.leases = make([]driver.Lease, 0, len(g.replies))
}

// lease returns the lease on a key, or nil.
func (g *grants) lease(i int, key string) *driver.Lease {
	if n, err := g.replies[i].AsInt64(); err != nil || n != 1 || g.epoch == "" {
		return nil
	}
	g.leases = append(g.leases, driver.Lease{Key: key, State: g.state})
	return &g.leases[len(g.leases)-1]
}

// grant asks for a lease. With read, it returns the entry instead if there is one.
func (l *leaser) grant(o *operation, read bool) ([]byte, bool, *driver.Lease, error) {
	token := nonces(1)
	call := l.call(o.lane, []keyRef{o.keyRef}, token, read)
	reply, err := leaseScript.Exec(o.ctx, o.conn, call.Keys, call.Args).ToArray()
	if err = o.observe(err); err != nil {
		if mayHaveDone(err) {
			l.orphans.releaseLater(o.keyRef, token)
		}
		return nil, false, nil, err
	}
	g, err := grantsOf(reply, 1)
	if err != nil {
		return nil, false, nil, err
	}
	raw, err := g.entry(0)
	if err != nil || raw == nil {
		g.hold(token, o.began)
		return nil, false, g.lease(0, o.key), err
	}
	if !l.reader.alive(raw) { // by our clock; the server's is behind
		return l.grant(o, false)
	}
	payload, ok := raw.payload()
	if !ok {
		return nil, false, nil, nil
	}
	value, found, err := l.reader.operationValue(o, raw, payload)
	if !found && err == nil { // the body is gone
		return l.grant(o, false)
	}
	return value, found, nil, err
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
