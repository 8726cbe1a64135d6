package redis

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// perMGET is about how many keys one MGET of a batch has.
const perMGET = 1000

// batchRead is one GetMany under way.
type batchRead struct {
	reader     *reader
	conn       rueidis.Client
	keys       []string
	first      map[string]int // the first index in keys of each key
	refs       []keyRef
	results    []driver.Result
	needScript []int // which keys the script must read
	large      []largeHit
}

// largeHit is an entry that was found, and whose value is in a body.
type largeHit struct {
	i       int // which of the keys
	entry   entry
	payload []byte
}

// mgetCall is one MGET for many entries of a lane.
type mgetCall struct {
	lane   *laneKeys
	keys   []string       // of Redis: entries and nonces, each once
	at     map[string]int // where in keys the nonces are
	of     []int          // which of the caller's keys
	values []int          // where in keys the entries of those are
}

// addNonce adds the key of a nonce.
func (c *mgetCall) addNonce(key string) {
	if _, there := c.at[key]; !there {
		c.at[key] = len(c.keys)
		c.keys = append(c.keys, key)
	}
}

// newBatchRead reads everything but large values.
func newBatchRead(ctx context.Context, r *reader, conn rueidis.Client, keys, tags []string) *batchRead {
	b := &batchRead{
		reader: r, conn: conn, keys: keys,
		first: make(map[string]int, len(keys)), refs: make([]keyRef, len(keys)), results: make([]driver.Result, len(keys)),
	}
	b.read(ctx, b.plan(tags))
	return b
}

// plan returns the MGETs to send, and notes which keys the script must read.
func (b *batchRead) plan(tags []string) (calls []*mgetCall) {
	lanes := make(map[*laneKeys]*mgetCall)
	room := len(b.keys)/len(b.reader.keys.lanes) + 8 // each call has about so many
	for i, key := range b.keys {
		if _, twice := b.first[key]; twice {
			continue
		}
		b.first[key] = i
		k := b.reader.keys.of(key)
		b.refs[i] = k
		hint := b.reader.hints.lookup(key, k)
		if tags == nil && hint == nil || b.reader.slow.has(key) {
			b.needScript = append(b.needScript, i)
			continue
		}
		call := lanes[k.lane]
		if call == nil || len(call.keys) >= perMGET {
			call = &mgetCall{
				lane: k.lane, at: make(map[string]int), keys: make([]string, 0, room+len(tags)),
				of: make([]int, 0, room), values: make([]int, 0, room),
			}
			call.addNonce(k.lane.nonceOf(generation))
			for _, nonce := range b.reader.keys.nonces(nil, k.lane, tags) {
				call.addNonce(nonce)
			}
			lanes[k.lane] = call
			calls = append(calls, call)
		}
		call.of, call.values = append(call.of, i), append(call.values, len(call.keys))
		call.keys = append(call.keys, k.value())
		for n, key := range hint {
			if n > 0 { // the first is the entry
				call.addNonce(key)
			}
		}
	}
	return calls
}

// read answers for all keys.
func (b *batchRead) read(ctx context.Context, calls []*mgetCall) {
	scripted := b.needScript
	b.needScript = nil
	commands := make([]rueidis.Completed, 0, len(calls)+len(scripted))
	for _, c := range calls {
		commands = append(commands, b.conn.B().Mget().Key(c.keys...).Build())
	}
	for _, i := range scripted {
		commands = append(commands, b.script(i, false))
	}
	replies := pipeline(ctx, b.conn, commands)
	for n, c := range calls {
		b.takeLane(c, replies[n])
	}
	b.takeScripts(ctx, scripted, replies[len(calls):])
	if again := b.needScript; len(again) > 0 {
		commands = commands[:0]
		for _, i := range again {
			b.reader.hints.forget(b.keys[i])
			commands = append(commands, b.script(i, false))
		}
		b.takeScripts(ctx, again, pipeline(ctx, b.conn, commands))
	}
}

// takeLane answers for the entries of one MGET. If an entry has a tag whose nonce was not read, the
// script must read the entry.
func (b *batchRead) takeLane(c *mgetCall, reply rueidis.RedisResult) {
	values, err := reply.ToArray()
	if err = b.reader.client.observe(err); err != nil {
		for _, i := range c.of {
			if errors.Is(err, context.DeadlineExceeded) {
				b.reader.slow.add(b.keys[i])
			}
			b.results[i].Err = err
		}
		return
	}
	for n, i := range c.of {
		raw, err := values[c.values[n]].AsBytes()
		if err != nil {
			b.results[i].Err = nilIsMiss(err)
			continue
		}
		e := entry(raw)
		if !b.reader.withinLimit(b.refs[i], e) || !b.reader.alive(e) {
			continue
		}
		payload, ok, unknownTag := e.judge(func(name []byte) (rueidis.RedisMessage, bool) {
			at, known := c.at[c.lane.nonceOf(string(name))]
			if !known {
				return rueidis.RedisMessage{}, false
			}
			return values[at], true
		})
		if unknownTag {
			b.needScript = append(b.needScript, i)
		} else if ok {
			b.found(i, e, payload)
		}
	}
}

// script is the command that reads one entry. With whole, it carries the text of the script.
func (b *batchRead) script(i int, whole bool) rueidis.Completed {
	k := b.refs[i]
	if whole {
		return b.conn.B().EvalRo().Script(getText).Numkeys(1).Key(k.value()).Arg(b.reader.scriptArgs(k)...).Build()
	}
	return b.conn.B().EvalshaRo().Sha1(getSHA).Numkeys(1).Key(k.value()).Arg(b.reader.scriptArgs(k)...).Build()
}

// takeScripts answers for the keys that the script has read. If a server does not know the script,
// the first command in each lane carries it.
func (b *batchRead) takeScripts(ctx context.Context, of []int, replies []rueidis.RedisResult) {
	var again []int
	var commands []rueidis.Completed
	loaded := make(map[*laneKeys]bool)
	for n, i := range of {
		if isNoScript(replies[n].Error()) {
			lane := b.refs[i].lane
			again, commands = append(again, i), append(commands, b.script(i, !loaded[lane]))
			loaded[lane] = true
			continue
		}
		b.takeScript(i, replies[n])
	}
	for n, reply := range pipeline(ctx, b.conn, commands) {
		b.takeScript(again[n], reply)
	}
}

// takeScript answers for one key that the script has read.
func (b *batchRead) takeScript(i int, result rueidis.RedisResult) {
	var raw entry
	reply, err := result.ToMessage()
	if err == nil {
		raw, err = entryOf(reply)
	}
	e, payload, err := b.reader.scripted(b.keys[i], b.refs[i], raw, err)
	if e == nil {
		b.results[i].Err = err
		return
	}
	b.found(i, e, payload)
}

// found answers with a valid entry.
func (b *batchRead) found(i int, e entry, payload []byte) {
	if e[0] == largeFormat {
		b.large = append(b.large, largeHit{i, e, payload})
		return
	}
	b.results[i] = driver.Result{Value: payload, Found: true}
}

// readLarge reads the bodies of large values.
func (b *batchRead) readLarge(ctx context.Context) {
	var all sync.WaitGroup
	for _, h := range b.large {
		all.Go(func() {
			r := &b.results[h.i]
			r.Value, r.Found, r.Err = b.reader.value(ctx, b.refs[h.i], h.entry, h.payload)
		})
	}
	all.Wait()
}

// all returns the results, including those for keys that were asked for twice.
func (b *batchRead) all() []driver.Result {
	for i, key := range b.keys {
		if of := b.first[key]; of != i {
			b.results[i] = b.results[of]
			b.results[i].Value = bytes.Clone(b.results[of].Value)
		}
	}
	return b.results
}
