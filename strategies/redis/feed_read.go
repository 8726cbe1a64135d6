package redis

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"
)

// outcome is how a Tracker has read an entry, and why no copy may be kept.
type outcome int

const (
	tracked    outcome = iota // a copy may be kept
	missed                    // there is none
	tooLarge                  // for a copy
	endedSince                // the feed has ended since
	noFeed                    // this and what follows was not read over the feed, or is not believed
	notProven
	notFresh
	tooSlow
	tooMany
	redirected
	notCaching
	failed
	otherTags
	outcomes
)

var outcomeNames = [outcomes]string{
	missed: "missed", tooLarge: "too large", endedSince: "feed ended", noFeed: "no feed", notProven: "not proven", notFresh: "not fresh",
	tooSlow: "slow entry", tooMany: "too many", redirected: "redirected", notCaching: "caching refused", failed: "failed", otherTags: "other tags",
}

// final reports whether the entry was read.
func (o outcome) final() bool { return o < noFeed }

// read reads an entry so that the feed tells of its changes. The caller has entered.
func (f *feed) read(ctx context.Context, key string, k keyRef, tags []string) (result Tracked, why outcome, err error) {
	e, payload, names, why, err := f.valid(ctx, key, k, tags)
	if err != nil && ctx.Err() != nil {
		f.left.Add(1) // the reply is still to come, and takes its place
	} else {
		f.leave()
	}
	if why != tracked {
		return Tracked{}, why, err
	}
	r := f.tracker.store.reader
	if e[0] == largeFormat || len(payload) > f.tracker.options.MaxValueBytes {
		result.Value, result.Found, err = r.value(ctx, k, e, payload)
		return result, tooLarge, err
	}
	expiry, _ := e.expiry() // alive has read it
	result = Tracked{Value: payload, Found: true, Tags: names, Feed: f.id, TTL: time.UnixMilli(expiry).Sub(r.clock.Now())}
	switch {
	case result.TTL <= 0:
		return Tracked{}, missed, nil
	case f.over.Load():
		result.Feed = 0
		return result, endedSince, nil
	}
	return result, tracked, nil
}

// valid returns a valid entry, its payload, and the keys of its nonces, if why is tracked. Value
// and nonces come from one MGET.
func (f *feed) valid(ctx context.Context, key string, k keyRef, tags []string) (e entry, payload []byte, names []string, why outcome, err error) {
	r := f.tracker.store.reader
	wanted := f.wanted(key, k, tags)
	for range 2 {
		replies, why, err := f.mget(ctx, wanted)
		if replies == nil {
			if errors.Is(err, context.DeadlineExceeded) {
				r.slow.add(key)
			}
			return nil, nil, nil, why, err
		}
		raw, err := replies[0].AsBytes()
		e = entry(raw)
		if err != nil || !r.withinLimit(k, e) || !r.alive(e) {
			return nil, nil, nil, missed, nilIsMiss(err)
		}
		names = wanted[:0:0]
		payload, ok, unknown := e.judge(func(name []byte) (rueidis.RedisMessage, bool) {
			for i, key := range wanted[1:] {
				if k.lane.isNonceOf(key, name) {
					names = append(names, key)
					return replies[1+i], true
				}
			}
			return rueidis.RedisMessage{}, false
		})
		if !unknown {
			if !ok {
				return nil, nil, nil, missed, nil
			}
			return e, payload, names, tracked, nil
		}
		if tags == nil {
			r.hints.remember(key, e)
		}
		wanted = append(wanted[:0:0], k.value())
		if _, whole := e.tags(func(name, _ []byte) bool {
			wanted = append(wanted, k.lane.nonceOf(string(name)))
			return true
		}); !whole {
			return nil, nil, nil, missed, nil
		}
	}
	return nil, nil, nil, otherTags, nil // they change all the time
}

// wanted returns the keys to read: the entry, the nonces that it is expected to have, and the
// generation.
func (f *feed) wanted(key string, k keyRef, tags []string) []string {
	keys := f.tracker.store.keys
	var wanted []string
	if tags == nil {
		wanted = f.tracker.store.reader.hints.lookup(key, k)
	}
	if wanted == nil {
		wanted = append(make([]string, 0, 2+len(tags)), k.value())
		wanted = keys.nonces(wanted, k.lane, tags)
	}
	return append(wanted, k.lane.nonceOf(generation))
}

// mget is the only command whose reply may be kept. CLIENT CACHING has an effect on the command
// that follows it on the same connection; nothing comes in between within a pipeline. There are no
// replies if they must not be believed.
func (f *feed) mget(ctx context.Context, keys []string) ([]rueidis.RedisMessage, outcome, error) {
	b := f.conn.B()
	replies := f.conn.DoMulti(ctx, b.ClientCaching().Yes().Build(), b.Mget().Key(keys...).Build())
	for _, reply := range replies {
		switch err := reply.Error(); {
		case err == nil:
		case ctx.Err() != nil:
			return nil, failed, f.tracker.store.client.observe(ctx.Err())
		default:
			return nil, f.refused(err), nil
		}
	}
	values, err := replies[1].ToArray()
	if err != nil || len(values) != len(keys) {
		f.end(errShortReply)
		return nil, failed, nil //nolint:nilerr // it is read in another way
	}
	return values, tracked, nil
}
