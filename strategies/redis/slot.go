package redis

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

const (
	// looking is how long it is looked for keys of the namespace; one that nothing was found in by then
	// counts as used.
	scanBudget = time.Second
	// wiping bounds one attempt to delete what is left of other nodes; the next one goes on from there.
	wipeTimeout = 45 * time.Second
)

// keeping is the slot of a namespace in Redis.
type redisSlot struct {
	*store
}

func (k redisSlot) do(ctx context.Context, run func(context.Context, rueidis.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	conn, err := k.use()
	if err == nil {
		err = k.observe(protect(func() error { return run(ctx, conn) }))
	}
	return err
}

func (k redisSlot) read(ctx context.Context) (raw string, err error) {
	err = k.do(ctx, func(ctx context.Context, conn rueidis.Client) (err error) {
		raw, err = text(conn.Do(ctx, conn.B().Get().Key(k.keys.fingerprint).Build()))
		if answer, ok := rueidis.IsRedisErr(err); ok && code(answer.Error()) == "WRONGTYPE" {
			return nil // swap replaces it
		}
		return err
	})
	return raw, err
}

func (k redisSlot) swap(ctx context.Context, old, with string, life time.Duration) (raw string, err error) {
	err = k.do(ctx, func(ctx context.Context, conn rueidis.Client) (err error) {
		ttl := strconv.FormatInt(life.Milliseconds(), 10)
		raw, err = text(swapScript.Exec(ctx, conn, []string{k.keys.fingerprint}, []string{old, with, ttl}))
		return err
	})
	return raw, err
}

// text is a string, or nothing.
func text(reply rueidis.RedisResult) (string, error) {
	raw, err := reply.ToString()
	if rueidis.IsRedisNil(err) {
		return "", nil
	}
	return raw, err
}

// empty costs a SCAN of the whole storage where it has nothing of ours, or else what it takes until it
// comes upon something.
func (k redisSlot) empty(ctx context.Context) (empty bool, err error) {
	deadline := time.Now().Add(scanBudget)
	empty = true
	err = k.each(ctx, func(keys []string) error {
		empty = empty && len(keys) == 0
		return nil
	}, func() bool { return empty && time.Now().Before(deadline) })
	return empty && time.Now().Before(deadline), err
}

// wipe looks twice, as Clear does.
func (k redisSlot) wipe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wipeTimeout)
	defer cancel()
	for range 2 {
		err := k.each(ctx, func(keys []string) error {
			return k.do(ctx, func(ctx context.Context, conn rueidis.Client) error {
				commands := make([]rueidis.Completed, len(keys))
				for i, key := range keys {
					commands[i] = conn.B().Unlink().Key(key).Build()
				}
				for _, reply := range k.pipeline(ctx, conn, commands) {
					if err := reply.Error(); err != nil {
						return err
					}
				}
				return nil
			})
		}, func() bool { return true })
		if err != nil {
			return err
		}
	}
	return nil
}

// each hands the keys of the namespace, of whatever lane but not the fingerprint, to found, while more is
// wanted.
func (k redisSlot) each(ctx context.Context, found func(keys []string) error, more func() bool) error {
	conn, err := k.use()
	if err != nil {
		return err
	}
	masters, err := k.masters(ctx, conn)
	if err != nil {
		return err
	}
	for _, node := range masters {
		err := scan(node, k.keys.everything(), func(step func(context.Context) error) error {
			return k.do(ctx, func(ctx context.Context, _ rueidis.Client) error { return step(ctx) })
		}, more, found)
		if err != nil {
			return err
		}
	}
	return nil
}
