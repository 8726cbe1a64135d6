package redis

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

const (
	// maxBatching is how many batches may be under way. Others wait.
	maxBatching = 64
	// perPipeline is how many commands, most of them scripts, are sent at once. A longer pipeline
	// would make others wait, and could be mistaken for a hung connection.
	perPipeline = 250
)

// batcher reads and writes many entries at once.
type batcher struct {
	client    *client
	admission *admission
	reader    *reader
	writer    *writer
	running   chan struct{} // has room for maxBatching
}

// getMany reads many entries. It uses one pipeline for each node, with one MGET for each lane. The
// script reads those whose tags are not known. Those that have other tags than expected need a
// second pipeline.
func (b *batcher) getMany(ctx context.Context, keys, tags []string) []driver.Result {
	conn, err := b.client.connected(ctx)
	if err == nil {
		ctx, cancel := b.client.withDeadline(ctx)
		defer cancel()
		if err := b.admission.batch(ctx); err != nil {
			return slices.Repeat([]driver.Result{{Err: err}}, len(keys))
		}
		// Copies, because the batch may continue after this function has returned.
		keys, tags := slices.Clone(keys), slices.Clone(tags)
		if r, ok := inTime(ctx, b.running, func() *batchRead { return newBatchRead(ctx, b.reader, conn, keys, tags) }); ok {
			r.readLarge(ctx)
			return r.all()
		}
		err = ctx.Err()
		for _, key := range keys {
			b.reader.slow.add(key)
		}
	}
	return slices.Repeat([]driver.Result{{Err: err}}, len(keys))
}

// setMany stores many entries. It uses one pipeline for each node, with one script for each entry.
func (b *batcher) setMany(ctx context.Context, items []driver.Item) []error {
	conn, err := b.client.connected(ctx)
	if err == nil {
		ctx, cancel := b.client.withDeadline(ctx)
		defer cancel()
		if err := b.admission.batch(ctx); err != nil {
			return slices.Repeat([]error{err}, len(items))
		}
		items := slices.Clone(items) // as above
		for i := range items {
			items[i].Value = bytes.Clone(items[i].Value)
			items[i].Options.Tags = slices.Clone(items[i].Options.Tags)
		}
		if failures, ok := inTime(ctx, b.running, func() []error { return b.setSmall(ctx, conn, items) }); ok {
			b.setLarge(ctx, items, failures)
			return failures
		}
		err = ctx.Err()
	}
	return slices.Repeat([]error{err}, len(items))
}

// setLarge stores the values that are too large for a pipeline.
func (b *batcher) setLarge(ctx context.Context, items []driver.Item, failures []error) {
	var all sync.WaitGroup
	for i, item := range items {
		if len(item.Value) > inline {
			all.Go(func() {
				failures[i] = driver.ErrUnavailable // if an application's client ends the goroutine
				failures[i] = protect(func() error {
					_, err := b.writer.store(ctx, item.Key, item.Value, item.Options, leaseState{})
					return err
				})
			})
		}
	}
	all.Wait()
}

// setSmall stores all values but the large ones.
func (b *batcher) setSmall(ctx context.Context, conn rueidis.Client, items []driver.Item) []error {
	failures := make([]error, len(items))
	var hidden []int // what must not stay readable
	calls, of := make([]laneCall, 0, len(items)), make([]int, 0, len(items))
	for i, item := range items {
		if len(item.Value) > inline {
			continue
		}
		k := b.writer.keys.of(item.Key)
		prepared, err := b.writer.prepare(k, len(item.Value), item.Options, leaseState{}, b.writer.clock.Now(), nil)
		if err != nil {
			failures[i] = err
			hidden = append(hidden, i)
			continue
		}
		prepared.value = string(item.Value)
		calls, of = append(calls, laneCall{k.lane, b.writer.storeCall(k.lane, prepared)}), append(of, i)
	}
	for n, reply := range runAll(ctx, conn, storeSHA, storeText, calls) {
		err := b.client.observe(reply.Error())
		failures[of[n]] = err
		if isAnswer(err) {
			// Refused before it began, for lack of memory for example.
			hidden = append(hidden, of[n])
		}
	}
	if len(hidden) > 0 {
		keys := make([]string, len(hidden))
		for n, i := range hidden {
			keys[n] = items[i].Key
		}
		if err := b.writer.hide(ctx, keys...); err != nil {
			for _, i := range hidden {
				failures[i] = errors.Join(failures[i], err)
			}
		}
	}
	return failures
}

// laneCall is the call of a script for keys of one lane.
type laneCall struct {
	lane *laneKeys
	rueidis.LuaExec
}

// runAll runs the script for each of calls. If a server does not know the script, the first command
// in each lane carries it.
func runAll(ctx context.Context, conn rueidis.Client, sha, text string, calls []laneCall) []rueidis.RedisResult {
	commands := make([]rueidis.Completed, len(calls))
	for i, call := range calls {
		commands[i] = evalsha(conn, sha, call.LuaExec)
	}
	replies := pipeline(ctx, conn, commands)
	var again []int
	commands = commands[:0]
	loaded := make(map[*laneKeys]bool)
	for i, reply := range replies {
		if !isNoScript(reply.Error()) {
			continue
		}
		again = append(again, i)
		if lane := calls[i].lane; loaded[lane] {
			commands = append(commands, evalsha(conn, sha, calls[i].LuaExec))
		} else {
			loaded[lane] = true
			commands = append(commands, eval(conn, text, calls[i].LuaExec))
		}
	}
	for n, reply := range pipeline(ctx, conn, commands) {
		replies[again[n]] = reply
	}
	return replies
}

// pipeline sends commands, no more than perPipeline at once, and returns their replies.
func pipeline(ctx context.Context, conn rueidis.Client, commands []rueidis.Completed) []rueidis.RedisResult {
	if len(commands) == 0 {
		return nil
	}
	replies := make([]rueidis.RedisResult, 0, len(commands))
	for part := range slices.Chunk(commands, perPipeline) {
		replies = append(replies, conn.DoMulti(ctx, part...)...)
	}
	return replies
}
