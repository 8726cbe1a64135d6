package redis

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/internal/sabotage"
)

// granted is what a lease of this strategy is made of.
type granted struct{ token, epoch, sequence string }

func (s *Strategy) lease(ctx context.Context, key string, tags []string, read bool) ([]byte, bool, *cache.Lease, error) {
	st, conn, ctx, cancel, err := s.open(ctx)
	if err != nil {
		return nil, false, nil, err
	}
	defer cancel()
	k, random := st.names.of(key), nonces(2)
	prefix := ""
	if read {
		prefix = k.tags()
	}
	reply, err := leaseScript.Exec(ctx, conn, []string{k.value(), k.lease(), k.ledger()},
		[]string{prefix, random[:nonceBytes], st.leaseTTL, random[nonceBytes:], st.ledgerTTL}).ToArray()
	if err = st.answered(err); err != nil {
		return nil, false, nil, err
	}
	switch len(reply) {
	case 1:
		raw, err := reply[0].AsBytes()
		if err != nil {
			return nil, false, nil, typed(err)
		}
		if !st.alive(raw) { // by our clock; the server's is behind
			return s.lease(ctx, key, tags, false)
		}
		payload, ok := entry(raw).tags(func(_, _ []byte) bool { return true })
		return payload, ok, nil, nil
	case 3:
		epoch, err := reply[1].ToString()
		sequence, failure := reply[2].ToString()
		if err = errors.Join(err, failure); err != nil {
			return nil, false, nil, typed(err)
		}
		return nil, false, &cache.Lease{Key: key, Tags: tags, State: granted{random[:nonceBytes], epoch, sequence}}, nil
	}
	return nil, false, nil, nil
}

// put stores an entry, under a lease if there is one.
func (s *Strategy) put(ctx context.Context, key string, value []byte, opts cache.SetOptions, g granted) (stored bool, err error) {
	st, conn, ctx, cancel, err := s.open(ctx)
	if err != nil {
		return false, err
	}
	defer cancel()
	ttl, err := milliseconds(opts.TTL)
	if err == nil && len(opts.Tags) > maxTags {
		err = cache.ErrTooManyTags
	}
	if err != nil {
		return false, errors.Join(err, s.hide(ctx, key))
	}
	k := st.names.of(key)
	fixed := appendFixed(make([]byte, 0, 9), st.clock.Now().UnixMilli()+ttl)
	tags := distinct(opts.Tags)
	random := nonces(len(tags))
	if sabotage.Off(sabotage.NonceRandomness) {
		random = strings.Repeat("n", len(random))
	}
	args := append(make([]string, 0, 8+4*len(tags)), g.token, g.epoch, g.sequence, k.tags(),
		strconv.FormatInt(ttl, 10), string(fixed), string(value), strconv.Itoa(len(tags)))
	for i, tag := range tags {
		_, name := split(tag)
		length := binary.BigEndian.AppendUint16(nil, uint16(len(name))) //nolint:gosec // Service allows 32 KiB
		args = append(args, name, string(length), bucket(tag), random[i*nonceBytes:(i+1)*nonceBytes])
	}
	n, err := storeScript.Exec(ctx, conn, []string{k.value(), k.lease(), k.ledger()}, args).AsInt64()
	if err = st.answered(err); err != nil {
		var answer *ServerError
		if errors.As(err, &answer) {
			// Refused before it began, for want of memory for example: the old value must go.
			err = errors.Join(err, s.hide(ctx, key))
		}
		return false, err
	}
	return n == 1, nil
}

// hide removes the entry that a refused one should have replaced.
func (s *Strategy) hide(ctx context.Context, key string) error {
	if sabotage.Off(sabotage.HideRefusedSet) {
		return nil
	}
	return s.Delete(ctx, key)
}

// get reads an entry with the script, and learns its tags.
func (st *store) get(ctx context.Context, conn rueidis.Client, key string, k place) ([]byte, bool, error) {
	raw, err := getScript.Exec(ctx, conn, []string{k.value()}, []string{k.tags()}).AsBytes()
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
	payload, ok := entry(raw).tags(func(_, _ []byte) bool { return true })
	if ok {
		st.learned.note(key, k, raw)
	}
	return payload, ok, nil
}

// mget reads an entry, wanted[0], and the nonces of the tags that it is thought to have, and judges the
// entry by them. It is a stranger where it has another tag.
func (st *store) mget(ctx context.Context, conn rueidis.Client, k place, wanted []string) (value []byte, found, stranger bool, err error) {
	replies, err := conn.Do(ctx, conn.B().Mget().Key(wanted...).Build()).ToArray()
	if err = st.answered(err); err != nil {
		return nil, false, false, err
	}
	raw, err := replies[0].AsBytes()
	if err != nil {
		return nil, false, false, nilIsMiss(err)
	}
	e, below := entry(raw), len(k.tags())
	if !st.alive(e) {
		return nil, false, false, nil
	}
	value, found = e.tags(func(name, nonce []byte) bool {
		for i, key := range wanted[1:] {
			if key[below:] == string(name) {
				now, err := replies[1+i].ToString()
				return err == nil && now == string(nonce) || sabotage.Off(sabotage.Nonce)
			}
		}
		stranger = true
		return false
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
