package redis

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

// granted is what a lease of this strategy is made of.
type granted struct{ token, epoch, sequence string }

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
		prefix = o.tags()
	}
	reply, err := leaseScript.Exec(o.ctx, o.conn, []string{o.value(), o.lease(), o.ledger()},
		[]string{prefix, random[:nonceBytes], o.leaseTTL, random[nonceBytes:], o.ledgerTTL}).ToArray()
	if err = o.answered(err); err != nil {
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
		return payload, ok, nil, nil
	case 3:
		epoch, err := reply[1].ToString()
		sequence, failure := reply[2].ToString()
		if err = errors.Join(err, failure); err != nil {
			return nil, false, nil, typed(err)
		}
		return nil, false, &cache.Lease{Key: o.key, Tags: tags, State: granted{random[:nonceBytes], epoch, sequence}}, nil
	}
	return nil, false, nil, nil
}

// put stores an entry, under a lease if there is one.
func (s *Strategy) put(ctx context.Context, key string, value []byte, opts cache.SetOptions, g granted) (stored bool, err error) {
	o, err := s.begin(ctx, key)
	if err != nil {
		return false, err
	}
	defer o.end()
	call, err := o.storing(o.place, value, opts, g)
	if err != nil {
		return false, errors.Join(err, s.hide(ctx, key))
	}
	n, err := storeScript.Exec(o.ctx, o.conn, call.Keys, call.Args).AsInt64()
	if err = o.answered(err); err != nil {
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

// storing is the call of the script that stores an entry.
func (st *store) storing(k place, value []byte, opts cache.SetOptions, g granted) (call rueidis.LuaExec, err error) {
	ttl, err := milliseconds(opts.TTL)
	if err == nil && len(opts.Tags) > maxTags {
		err = cache.ErrTooManyTags
	}
	if err != nil {
		return call, err
	}
	fixed := appendFixed(make([]byte, 0, 9), st.clock.Now().UnixMilli()+ttl)
	tags := distinct(opts.Tags)
	random := nonces(len(tags))
	keys := append(make([]string, 0, 4+len(tags)), k.value(), k.lease(), k.ledger(), k.begin.earlier)
	args := append(make([]string, 0, 6+4*len(tags)), g.token, g.epoch, g.sequence,
		strconv.FormatInt(ttl, 10), string(fixed), string(value))
	for i, tag := range tags {
		_, name := split(tag)
		length := binary.BigEndian.AppendUint16(nil, uint16(len(name))) //nolint:gosec // Service allows 32 KiB
		keys = append(keys, k.tags()+name)
		args = append(args, name, string(length), noted(tag), random[i*nonceBytes:(i+1)*nonceBytes])
	}
	return rueidis.LuaExec{Keys: keys, Args: args}, nil
}

// get reads the entry: with the script, which teaches its tags, unless they are known.
func (o *operation) get() ([]byte, bool, error) {
	if wanted := o.learned.recall(o.key); wanted != nil {
		value, found, stranger, err := o.mget(wanted)
		if !stranger {
			return value, found, err
		}
		o.learned.forget(o.key)
	}
	raw, err := o.reads[o.begin.lane].script(o.ctx, o.conn, o.gate, o.value(), o.tags()).entry()
	value, found, err := o.scripted(o.key, o.place, raw, err)
	o.heard(o.begin.lane, err, o.began)
	return value, found, err
}

// scripted judges what the script answered, and learns the entry's tags.
func (st *store) scripted(key string, k place, raw entry, err error) ([]byte, bool, error) {
	if rueidis.IsRedisNil(err) {
		st.worked()
		return nil, false, nil
	}
	if err = st.answered(err); err != nil {
		return nil, false, err
	}
	if !st.alive(raw) {
		return nil, false, nil
	}
	payload, ok := raw.tags(func(_, _ []byte) bool { return true })
	if ok {
		st.learned.note(key, k, raw)
	}
	return payload, ok, nil
}

// mget reads the entry, wanted[0], and the nonces of the tags that it is thought to have, and judges the
// entry by them. It is a stranger where it has another tag.
func (o *operation) mget(wanted []string) (value []byte, found, stranger bool, err error) {
	a := o.reads[o.begin.lane].mget(o.ctx, o.conn, o.gate, wanted)
	if err = o.answered(a.err); err != nil {
		return nil, false, false, err
	}
	e, err := a.entry()
	if err != nil {
		return nil, false, false, nilIsMiss(err)
	}
	below := len(o.tags())
	if !o.alive(e) {
		return nil, false, false, nil
	}
	value, found, stranger = e.judge(func(name []byte) (rueidis.RedisMessage, bool) {
		for i, key := range wanted[1:] {
			if key[below:] == string(name) {
				return a.reply(1 + i), true
			}
		}
		return rueidis.RedisMessage{}, false
	})
	return value, found, stranger, nil
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
