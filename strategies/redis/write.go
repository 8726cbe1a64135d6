package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// maxTags is the most that the 16-bit count in an entry leaves room for. Scripts take fewer anyway.
const maxTags = 4096

// writer stores entries.
type writer struct {
	client    *client
	keys      *keyspace
	clock     driver.Clock
	limits    *liveLimits
	admission *admission
	bodies    *bodies
	revoker   *revoker
}

// store stores an entry, under a lease unless state is zero. A refused value also removes the entry
// that it was to replace.
func (w *writer) store(ctx context.Context, key string, value []byte, opts driver.SetOptions, state leaseState) (stored bool, err error) {
	if len(value) > inline {
		defer func() {
			if errors.Is(err, context.DeadlineExceeded) { // wherever it passed, its body took the time
				err = unavailable(err)
			}
		}()
	}
	if _, err := w.client.connected(ctx); err != nil {
		return false, err
	}
	ctx, cancel := w.client.withDeadline(ctx)
	defer cancel()
	k := w.keys.of(key)
	i, err := w.prepare(k, len(value), opts, state, w.clock.Now(), nil)
	if err != nil {
		return false, errors.Join(err, w.hide(ctx, key))
	}
	if i.body == "" {
		i.value = string(value)
	} else {
		if err := w.bodies.write(ctx, k.body(), i.body, value); err != nil {
			if isAnswer(err) {
				err = errors.Join(err, w.hide(ctx, key))
			}
			return false, err
		}
	}
	o, err := w.admission.begin(ctx, key)
	if err != nil {
		return false, err
	}
	defer o.end()
	call := w.storeCall(k.lane, i)
	n, err := storedBy(storeScript.Exec(o.ctx, o.conn, call.Keys, call.Args), 1)
	if err = o.observe(err); err != nil {
		if isAnswer(err) {
			// Refused before it began, for lack of memory for example. The old value must go.
			err = errors.Join(err, w.hide(ctx, key))
		}
		return false, err
	}
	return n[0] == 1, nil
}

// hide removes the entries that refused ones should have replaced.
func (w *writer) hide(ctx context.Context, keys ...string) error {
	return w.revoker.delete(ctx, keys)
}

// item is one entry to store.
type item struct {
	state  leaseState // zero: store always
	ref    keyRef
	ms     int64  // the TTL
	ttl    string // the same
	fixed  string // format and expiry
	value  string // or what stands in its place, if there is a body
	body   string // its name, or empty
	tags   []string
	caller int // which of the caller's items
}

// prepare makes the item of an entry whose value has so many bytes. If it is large, the item names
// a body, which has to be written first. Otherwise its caller adds the value. before may be nil, or
// an item that was prepared at the same time: what the two have in common they share.
func (w *writer) prepare(k keyRef, size int, opts driver.SetOptions, state leaseState, now time.Time, before *item) (i item, err error) {
	ttl, err := milliseconds(opts.TTL)
	if err == nil && len(opts.Tags) > maxTags {
		err = driver.ErrTooManyTags
	}
	if err == nil && int64(size) > w.limits.Load().value { // no reader would accept it
		err = driver.ErrValueTooLarge
	}
	if err != nil {
		return i, err
	}
	i = item{state: state, ref: k, ms: ttl}
	format := byte(entryFormat)
	if size > inline {
		i.body, format = nonces(1), largeFormat
		i.value = string(named(i.body, size))
	} else if before != nil && before.ms == ttl && before.body == "" && slices.Equal(before.tags[1:], opts.Tags) {
		i.fixed, i.ttl, i.tags = before.fixed, before.ttl, before.tags
		return i, nil
	}
	i.fixed = string(appendFixed(make([]byte, 0, 9), format, now.UnixMilli()+ttl))
	i.ttl, i.tags = strconv.FormatInt(ttl, 10), distinct(opts.Tags)
	return i, nil
}

// alike reports whether two items differ in nothing but their keys and values.
func (i *item) alike(other *item) bool {
	return i.state.token == other.state.token && i.state.epoch == other.state.epoch && i.state.sequence == other.state.sequence &&
		i.ttl == other.ttl && i.fixed == other.fixed && slices.Equal(i.tags, other.tags)
}

// storeCall is the call of the script that stores items of one lane.
func (w *writer) storeCall(lane *laneKeys, items ...item) rueidis.LuaExec {
	var tags []string // of all items
	numbers := make(map[string]int)
	keys := append(make([]string, 0, 2+3*len(items)+4), lane.ledger, lane.earlier)
	args := append(make([]string, 0, 2+8*len(items)+3*4), strconv.Itoa(len(items)), "")
	runs := 0
	for first := 0; first < len(items); runs++ {
		i, next := &items[first], first+1
		for next < len(items) && i.alike(&items[next]) {
			next++
		}
		list := make([]byte, 0, 2*len(i.tags))
		for _, tag := range i.tags {
			n, known := numbers[tag]
			if !known {
				n = len(tags)
				numbers[tag], tags = n, append(tags, tag)
			}
			list = binary.BigEndian.AppendUint16(list, uint16(n)) //nolint:gosec // see maxTags and perScript
		}
		args = append(args, strconv.Itoa(next-first), i.state.token, i.state.epoch, i.state.sequence, i.ttl, i.fixed, string(list))
		first = next
	}
	args[1] = strconv.Itoa(runs)
	refs := make([]keyRef, len(items))
	for i := range items {
		refs[i], args = items[i].ref, append(args, items[i].value)
	}
	keys = appendKeys(appendKeys(appendKeys(keys, lane.value, refs), lane.lease, refs), lane.body, refs)
	random := nonces(len(tags))
	for i, tag := range tags {
		name := w.keys.nameOf(tag)
		length := binary.BigEndian.AppendUint16(nil, uint16(len(name))) //nolint:gosec // the Service allows 32 KiB
		keys = append(keys, lane.nonceOf(name))
		args = append(args, string(length)+name, ledgerField(tag), random[i*nonceBytes:(i+1)*nonceBytes])
	}
	return rueidis.LuaExec{Keys: keys, Args: args}
}

// storedBy returns which of n items were stored.
func storedBy(reply rueidis.RedisResult, n int) ([]int64, error) {
	stored, err := reply.AsIntSlice()
	if err == nil && len(stored) != n {
		err = errShortReply
	}
	return stored, err
}

// few is how many tags are compared with each other. More are looked up.
const few = 8

// distinct returns the generation and tags, without duplicates. The result shares nothing that the
// caller may change.
func distinct(tags []string) []string {
	all := append(make([]string, 0, 1+len(tags)), generation)
	if len(tags) <= few {
		for _, tag := range tags {
			if !slices.Contains(all, tag) {
				all = append(all, tag)
			}
		}
		return all
	}
	seen := make(map[string]struct{}, len(tags))
	for _, tag := range tags {
		if _, ok := seen[tag]; !ok {
			seen[tag] = struct{}{}
			all = append(all, tag)
		}
	}
	return all
}
