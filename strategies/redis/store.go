package redis

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

// granted is what a lease of this strategy is made of.
type leaseState struct {
	token, epoch, sequence string
	asked                  time.Time // it was granted no earlier
}

func (s *Strategy) lease(ctx context.Context, key string, tags []string, read bool) ([]byte, bool, *cache.Lease, error) {
	o, err := s.begin(ctx, key)
	if err != nil {
		return nil, false, nil, err
	}
	defer o.end()
	return o.grant(tags, read)
}

// grant asks for a lease, where read says so only if there is no entry.
func (o *operation) grant(tags []string, read bool) ([]byte, bool, *cache.Lease, error) {
	random, prefix := nonces(2), ""
	if read {
		prefix = o.lane.nonce
	}
	reply, err := leaseScript.Exec(o.ctx, o.conn, []string{o.value(), o.lease(), o.lane.ledger},
		[]string{prefix, random[:nonceBytes], o.leaseTTL, random[nonceBytes:], o.ledgerTTL, o.longest}).ToArray()
	if err = o.observe(err); err != nil {
		if mayHaveDone(err) {
			o.releaseLater(o.keyRef, random[:nonceBytes])
		}
		return nil, false, nil, err
	}
	switch len(reply) {
	case 1:
		raw, err := reply[0].AsBytes()
		if err != nil {
			return nil, false, nil, typed(err)
		}
		if !o.alive(raw) { // by our clock; the server's is behind
			return o.grant(tags, false)
		}
		payload, ok := entry(raw).tags(func(_, _ []byte) bool { return true })
		if !ok {
			return nil, false, nil, nil
		}
		value, found, err := o.valueOf(raw, payload)
		if !found && err == nil { // the body is gone
			return o.grant(tags, false)
		}
		return value, found, nil, err
	case 3:
		epoch, err := reply[1].ToString()
		sequence, failure := reply[2].ToString()
		if err = errors.Join(err, failure); err != nil {
			return nil, false, nil, typed(err)
		}
		return nil, false, &cache.Lease{Key: o.key, Tags: tags, State: leaseState{random[:nonceBytes], epoch, sequence, o.began}}, nil
	}
	return nil, false, nil, nil
}

// put stores an entry, under a lease if there is one.
func (s *Strategy) put(ctx context.Context, key string, value []byte, opts cache.SetOptions, g leaseState) (stored bool, err error) {
	if len(value) > inline {
		defer func() {
			if errors.Is(err, context.DeadlineExceeded) { // wherever, its body took the time
				err = unavailable(err)
			}
		}()
	}
	st, _, err := s.connected(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := st.withDeadline(ctx)
	defer cancel()
	k := st.keys.of(key)
	call, err := st.storeCall(k, value, opts, g)
	if err != nil {
		return false, errors.Join(err, s.hide(ctx, key))
	}
	if body := call.Args[bodyArg]; body != "" {
		if err := st.bodies.write(ctx, k.body(), body, value); err != nil {
			if isAnswer(err) {
				err = errors.Join(err, s.hide(ctx, key))
			}
			return false, err
		}
	}
	o, err := s.begin(ctx, key)
	if err != nil {
		return false, err
	}
	defer o.end()
	n, err := storeScript.Exec(o.ctx, o.conn, call.Keys, call.Args).AsInt64()
	if err = o.observe(err); err != nil {
		var answer *ServerError
		if errors.As(err, &answer) {
			// Refused before it began, for want of memory for example: the old value must go.
			err = errors.Join(err, s.hide(ctx, key))
		}
		return false, err
	}
	return n == 1, nil
}

// hide removes the entries that refused ones should have replaced.
func (s *Strategy) hide(ctx context.Context, keys ...string) error {
	return s.Delete(ctx, keys...)
}

// bodyArg is which argument of the script names the body.
const bodyArg = 6

// storing is the call of the script that stores an entry. Where the value is large, the call names a body, which
// has to be written before.
func (st *store) storeCall(k keyRef, value []byte, opts cache.SetOptions, g leaseState) (call rueidis.LuaExec, err error) {
	ttl, err := milliseconds(opts.TTL)
	if err == nil && len(opts.Tags) > maxTags {
		err = cache.ErrTooManyTags
	}
	if err == nil && int64(len(value)) > st.largest { // no reader takes it
		err = cache.ErrValueTooLarge
	}
	if err != nil {
		return call, err
	}
	format, payload, body := byte(entryFormat), string(value), ""
	if len(value) > inline {
		body = nonces(1)
		format, payload = largeFormat, string(named(body, len(value)))
	}
	fixed := appendFixed(make([]byte, 0, 9), format, st.clock.Now().UnixMilli()+ttl)
	tags := distinct(opts.Tags)
	random := nonces(len(tags))
	keys := append(make([]string, 0, 5+len(tags)), k.value(), k.lease(), k.lane.ledger, k.lane.earlier, k.body())
	args := append(make([]string, 0, 7+4*len(tags)), g.token, g.epoch, g.sequence,
		strconv.FormatInt(ttl, 10), string(fixed), payload, body)
	for i, tag := range tags {
		name := st.keys.nameOf(tag)
		length := binary.BigEndian.AppendUint16(nil, uint16(len(name))) //nolint:gosec // Service allows 32 KiB
		keys = append(keys, k.lane.nonceOf(name))
		args = append(args, name, string(length), ledgerField(tag), random[i*nonceBytes:(i+1)*nonceBytes])
	}
	return rueidis.LuaExec{Keys: keys, Args: args}, nil
}

// get reads the entry: with the script, which teaches its tags, unless they are known.
func (o *operation) get() ([]byte, bool, error) {
	if wanted := o.hints.lookup(o.key); wanted != nil && !o.slow.has(o.key) {
		value, found, stranger, err := o.mget(wanted)
		if !stranger {
			return value, found, err
		}
		o.hints.forget(o.key)
	}
	raw, err := o.coalescers[o.lane.number].script(o.ctx, o.conn, o.bulkhead, o.value(), o.scriptArgs(o.keyRef)).entry()
	e, payload, err := o.scripted(o.key, o.keyRef, raw, err)
	o.record(o.lane.number, err, o.sent)
	if e == nil {
		return nil, false, err
	}
	return o.valueOf(e, payload)
}

// scriptArgs are those of the script that reads an entry.
func (st *store) scriptArgs(k keyRef) []string { return []string{k.lane.nonce, st.longest} }

// scripted judges what the script answered, and learns the entry's tags. The entry is nil where none was found.
func (st *store) scripted(key string, k keyRef, raw entry, err error) (e entry, payload []byte, _ error) {
	switch {
	case rueidis.IsRedisNil(err):
		st.worked()
		st.slow.remove(key)
		return nil, nil, nil
	case errors.Is(err, errOversized):
		st.worked()
		st.slow.remove(key)
		st.drop(k, "")
		return nil, nil, nil
	}
	if err = st.observe(err); err != nil {
		return nil, nil, err
	}
	st.slow.remove(key)
	if !st.alive(raw) {
		return nil, nil, nil
	}
	payload, ok := raw.tags(func(_, _ []byte) bool { return true })
	if !ok {
		return nil, nil, nil
	}
	st.hints.remember(key, k, raw)
	return raw, payload, nil
}

// mget reads the entry, wanted[0], and the nonces of the tags that it is thought to have, and judges the
// entry by them. It is a stranger where it has another tag.
func (o *operation) mget(wanted []string) (value []byte, found, stranger bool, err error) {
	a := o.coalescers[o.lane.number].mget(o.ctx, o.conn, o.bulkhead, wanted)
	if err = o.observe(a.err); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			o.slow.add(o.key)
		}
		return nil, false, false, err
	}
	e, err := a.entry()
	if err != nil {
		return nil, false, false, nilIsMiss(err)
	}
	if !o.withinLimit(o.keyRef, e) || !o.alive(e) {
		return nil, false, false, nil
	}
	payload, found, stranger := e.judge(func(name []byte) (rueidis.RedisMessage, bool) {
		for i, key := range wanted[1:] {
			if o.lane.isNonceOf(key, name) {
				return a.reply(1 + i), true
			}
		}
		return rueidis.RedisMessage{}, false
	})
	if !found {
		return nil, false, stranger, nil
	}
	value, found, err = o.valueOf(e, payload)
	return value, found, false, err
}

// whole returns the value of an entry that is good. Where that is a large one, the operation no longer takes up a
// place that others wait for.
func (o *operation) valueOf(e entry, payload []byte) ([]byte, bool, error) {
	if e[0] == largeFormat {
		o.leave()
	}
	return o.store.valueOf(o.ctx, o.keyRef, e, payload)
}

// alive reports whether an entry is of our format, and not over by our own clock: Redis ends entries by
// its own, and a test has a clock that it moves.
func (st *store) alive(e entry) bool {
	expiry, ok := e.expiry()
	return ok && st.clock.Now().UnixMilli() < expiry
}

// distinct returns tags without duplicates, sharing nothing that changes.
func distinct(tags []string) []string {
	seen := make(map[string]struct{}, len(tags))
	var all []string
	for _, tag := range tags {
		if _, ok := seen[tag]; !ok {
			seen[tag] = struct{}{}
			all = append(all, tag)
		}
	}
	return all
}

// nonces returns n random nonces, one after the other.
func nonces(n int) string {
	random := make([]byte, n*nonceBytes)
	_, _ = rand.Read(random) // never fails: it ends the program instead
	return string(random)
}
