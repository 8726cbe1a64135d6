package redis

import (
	"context"
	"errors"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// reader reads entries and decides whether they are valid.
type reader struct {
	client     *client
	keys       *keyspace
	clock      driver.Clock
	limits     *liveLimits
	bulkheads  *bulkheads
	hints      *tagHints
	slow       slowEntries
	coalescers []coalescer // by lane
	bodies     *bodies
	dropper    *dropper
}

// get reads an entry. It needs one MGET if the tags of the entry are known, and otherwise the
// script, whose answer teaches them.
func (r *reader) get(o *operation) ([]byte, bool, error) {
	if wanted := r.hints.lookup(o.key, o.keyRef); wanted != nil && !r.slow.has(o.key) {
		value, found, unknownTag, err := r.mget(o, wanted)
		if !unknownTag {
			return value, found, err
		}
		r.hints.forget(o.key)
	}
	coalescer := &r.coalescers[o.lane.number]
	a := coalescer.script(o.ctx, o.conn, o.bulkhead, o.value(), r.scriptArgs(o.keyRef))
	raw, err := a.entry()
	e, payload, err := r.scripted(o.key, o.keyRef, raw, err)
	r.bulkheads.record(o.lane.number, err, o.sent)
	if e == nil {
		return nil, false, err
	}
	return r.operationValue(o, e, payload)
}

// getHinted reads an entry that is expected to have the Service's tags, or some of them.
func (r *reader) getHinted(o *operation, tags []string) ([]byte, bool, error) {
	if r.slow.has(o.key) {
		return r.get(o)
	}
	wanted := make([]string, 1, 1+len(tags))
	wanted[0] = o.value()
	value, found, unknownTag, err := r.mget(o, r.keys.nonces(wanted, o.lane, tags))
	if unknownTag {
		return r.get(o)
	}
	return value, found, err
}

// scriptArgs are the arguments of the script that reads an entry.
func (r *reader) scriptArgs(k keyRef) []string {
	return []string{k.lane.nonce, r.limits.Load().entryArg}
}

// scripted interprets what the script has answered, and remembers the tags of the entry. The entry
// is nil if none was found.
func (r *reader) scripted(key string, k keyRef, raw entry, err error) (e entry, payload []byte, _ error) {
	switch {
	case rueidis.IsRedisNil(err):
		r.client.worked()
		r.slow.remove(key)
		return nil, nil, nil
	case errors.Is(err, errOversized):
		r.client.worked()
		r.slow.remove(key)
		r.dropper.drop(k, "")
		return nil, nil, nil
	}
	if err = r.client.observe(err); err != nil {
		return nil, nil, err
	}
	r.slow.remove(key)
	if !r.alive(raw) {
		return nil, nil, nil
	}
	payload, ok := raw.payload()
	if !ok {
		return nil, nil, nil
	}
	r.hints.remember(key, raw)
	return raw, payload, nil
}

// mget reads the entry, wanted[0], and the nonces of the tags that it is expected to have.
// unknownTag says that it has another tag as well, so that it cannot be judged.
func (r *reader) mget(o *operation, wanted []string) (value []byte, found, unknownTag bool, err error) {
	a := r.coalescers[o.lane.number].mget(o.ctx, o.conn, o.bulkhead, wanted)
	if err = o.observe(a.err); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			r.slow.add(o.key)
		}
		return nil, false, false, err
	}
	e, err := a.entry()
	if err != nil {
		return nil, false, false, nilIsMiss(err)
	}
	if !r.withinLimit(o.keyRef, e) || !r.alive(e) {
		return nil, false, false, nil
	}
	payload, found, unknownTag := e.judge(func(name []byte) (rueidis.RedisMessage, bool) {
		if string(name) == generation {
			return a.lane(), true
		}
		for i, key := range wanted[1:] {
			if o.lane.isNonceOf(key, name) {
				return a.reply(1 + i), true
			}
		}
		return rueidis.RedisMessage{}, false
	})
	if !found {
		return nil, false, unknownTag, nil
	}
	value, found, err = r.operationValue(o, e, payload)
	return value, found, false, err
}

// operationValue returns the value of a valid entry. If the value is large, the operation first
// gives up its place, which others may be waiting for.
func (r *reader) operationValue(o *operation, e entry, payload []byte) ([]byte, bool, error) {
	if e[0] == largeFormat {
		o.leave()
	}
	return r.value(o.ctx, o.keyRef, e, payload)
}

// value returns the value of a valid entry that has that payload.
func (r *reader) value(ctx context.Context, k keyRef, e entry, payload []byte) (value []byte, found bool, err error) {
	if e[0] != largeFormat {
		return payload, true, nil
	}
	body, size, ok := e.body(payload)
	if !ok {
		return nil, false, nil
	}
	if size > r.limits.Load().value {
		r.dropper.drop(k, body)
		return nil, false, nil
	}
	return r.bodies.read(ctx, k.body(), body, size)
}

// withinLimit reports whether an entry is no longer than it may be. One that is longer is dropped.
func (r *reader) withinLimit(k keyRef, e entry) bool {
	if int64(len(e)) <= r.limits.Load().entry {
		return true
	}
	r.dropper.drop(k, "")
	return false
}

// alive reports whether an entry has our format and has not expired by our own clock. Redis removes
// entries by its clock, which may be behind.
func (r *reader) alive(e entry) bool {
	expiry, ok := e.expiry()
	return ok && r.clock.Now().UnixMilli() < expiry
}
