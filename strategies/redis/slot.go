package redis

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

const (
	// scanBudget is how long empty looks for keys. A namespace in which it has found nothing by
	// then counts as used.
	scanBudget = time.Second
	// wipeTimeout bounds one attempt to delete what other nodes have left. The next attempt
	// continues from there.
	wipeTimeout = 45 * time.Second
)

// redisSlot is the slot of a namespace in Redis.
type redisSlot struct {
	client *client
	keys   *keyspace
}

func (s redisSlot) do(ctx context.Context, run func(context.Context, rueidis.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	conn, err := s.client.use()
	if err == nil {
		err = s.client.observe(protect(func() error { return run(ctx, conn) }))
	}
	return err
}

func (s redisSlot) read(ctx context.Context) (raw string, err error) {
	err = s.do(ctx, func(ctx context.Context, conn rueidis.Client) (err error) {
		raw, err = text(conn.Do(ctx, conn.B().Get().Key(s.keys.fingerprint).Build()))
		if answer, ok := rueidis.IsRedisErr(err); ok && code(answer.Error()) == wrongType {
			return nil // swap replaces it
		}
		return err
	})
	return raw, err
}

func (s redisSlot) swap(ctx context.Context, old, with string, life time.Duration) (raw string, err error) {
	err = s.do(ctx, func(ctx context.Context, conn rueidis.Client) (err error) {
		ttl := strconv.FormatInt(life.Milliseconds(), 10)
		raw, err = text(swapScript.Exec(ctx, conn, []string{s.keys.fingerprint}, []string{old, with, ttl}))
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

// empty costs a SCAN of the whole storage if that has no key of the namespace. Otherwise it costs
// what it takes to find the first one.
func (s redisSlot) empty(ctx context.Context) (empty bool, err error) {
	deadline := time.Now().Add(scanBudget)
	empty = true
	err = s.each(ctx, func(keys []string) error {
		empty = empty && len(keys) == 0
		return nil
	}, func() bool { return empty && time.Now().Before(deadline) })
	return empty && time.Now().Before(deadline), err
}

// wipe scans twice, for the same reason as Clear.
func (s redisSlot) wipe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wipeTimeout)
	defer cancel()
	for range 2 {
		err := s.each(ctx, func(keys []string) error {
			return s.do(ctx, func(ctx context.Context, conn rueidis.Client) error { return unlinkEach(ctx, conn, keys) })
		}, func() bool { return true })
		if err != nil {
			return err
		}
	}
	return nil
}

// each passes the keys of the namespace to found, for as long as more returns true. It includes the
// keys of lanes that this node does not use, and leaves out the fingerprint.
func (s redisSlot) each(ctx context.Context, found func(keys []string) error, more func() bool) error {
	conn, err := s.client.use()
	if err != nil {
		return err
	}
	masters, err := s.client.masters(ctx, conn)
	if err != nil {
		return err
	}
	step := func(run func(context.Context) error) error {
		return s.do(ctx, func(ctx context.Context, _ rueidis.Client) error { return run(ctx) })
	}
	for _, node := range masters {
		if err := scan(node, s.keys.everything(), step, more, found); err != nil {
			return err
		}
	}
	return nil
}
