package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"

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
	limits    limits
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
	call, err := w.storeCall(k, value, opts, state)
	if err != nil {
		return false, errors.Join(err, w.hide(ctx, key))
	}
	if body := call.Args[bodyArg]; body != "" {
		if err := w.bodies.write(ctx, k.body(), body, value); err != nil {
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
	n, err := storeScript.Exec(o.ctx, o.conn, call.Keys, call.Args).AsInt64()
	if err = o.observe(err); err != nil {
		if isAnswer(err) {
			// Refused before it began, for lack of memory for example. The old value must go.
			err = errors.Join(err, w.hide(ctx, key))
		}
		return false, err
	}
	return n == 1, nil
}

// hide removes the entries that refused ones should have replaced.
func (w *writer) hide(ctx context.Context, keys ...string) error {
	return w.revoker.delete(ctx, keys)
}

// bodyArg is which argument of the script names the body.
const bodyArg = 6

// storeCall is the call of the script that stores an entry. If the value is large, the call names a
// body, which has to be written first.
func (w *writer) storeCall(k keyRef, value []byte, opts driver.SetOptions, state leaseState) (call rueidis.LuaExec, err error) {
	ttl, err := milliseconds(opts.TTL)
	if err == nil && len(opts.Tags) > maxTags {
		err = driver.ErrTooManyTags
	}
	if err == nil && int64(len(value)) > w.limits.value { // no reader would accept it
		err = driver.ErrValueTooLarge
	}
	if err != nil {
		return call, err
	}
	format, payload, body := byte(entryFormat), string(value), ""
	if len(value) > inline {
		body = nonces(1)
		format, payload = largeFormat, string(named(body, len(value)))
	}
	fixed := appendFixed(make([]byte, 0, 9), format, w.clock.Now().UnixMilli()+ttl)
	tags := append([]string{generation}, distinct(opts.Tags)...)
	random := nonces(len(tags))
	keys := append(make([]string, 0, 5+len(tags)), k.value(), k.lease(), k.lane.ledger, k.lane.earlier, k.body())
	args := append(make([]string, 0, 7+4*len(tags)), state.token, state.epoch, state.sequence,
		strconv.FormatInt(ttl, 10), string(fixed), payload, body)
	for i, tag := range tags {
		name := w.keys.nameOf(tag)
		length := binary.BigEndian.AppendUint16(nil, uint16(len(name))) //nolint:gosec // the Service allows 32 KiB
		keys = append(keys, k.lane.nonceOf(name))
		args = append(args, name, string(length), ledgerField(tag), random[i*nonceBytes:(i+1)*nonceBytes])
	}
	return rueidis.LuaExec{Keys: keys, Args: args}, nil
}

// distinct returns tags without duplicates. The result shares nothing that the caller may change.
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
