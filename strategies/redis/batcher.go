package redis

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

// perPipeline is how many commands, most of them scripts, are sent at once, and perRead how many keys one
// MGET has. A longer pipeline would make others wait, and could be taken for a hanging connection.
const (
	perPipeline = 250
	perRead     = 1000
)

// laneRead is one MGET for many entries of a lane.
type mgetCall struct {
	lane *laneKeys
	keys []string       // of Redis: entries and nonces, each once
	at   map[string]int // where in keys
	of   []int          // which of the caller's keys
}

func (r *mgetCall) add(key string) {
	if _, there := r.at[key]; !there {
		r.at[key] = len(r.keys)
		r.keys = append(r.keys, key)
	}
}

// many is one GetMany under way.
type batchRead struct {
	*store
	conn    rueidis.Client
	keys    []string
	first   map[string]int // where in keys each one is the first time
	refs    []keyRef
	results []cache.Result
	needScript  []int // which keys the script must read
	large   []largeHit
}

// largeHit is an entry that was found, whose value is in a body.
type largeHit struct {
	i       int // which of the keys
	entry   entry
	payload []byte
}

// found notes a hit.
func (m *batchRead) found(i int, e entry, payload []byte) {
	if e[0] == largeFormat {
		m.large = append(m.large, largeHit{i, e, payload})
		return
	}
	m.results[i] = cache.Result{Value: payload, Found: true}
}

// fetch reads the bodies of large values.
func (m *batchRead) fetch(ctx context.Context) {
	var all sync.WaitGroup
	for _, h := range m.large {
		all.Go(func() {
			r := &m.results[h.i]
			r.Value, r.Found, r.Err = m.valueOf(ctx, m.refs[h.i], h.entry, h.payload)
		})
	}
	all.Wait()
}

// GetMany implements cache.Batcher: one pipeline for each node, with one MGET for each lane. Entries whose
// tags are not known yet are read by the script, and those that have others than was thought in
// a second pipeline.
func (s *Strategy) GetMany(ctx context.Context, keys, tags []string) []cache.Result {
	if len(keys) == 0 {
		return nil
	}
	st, conn, err := s.connected(ctx)
	if err == nil {
		ctx, cancel := st.withDeadline(ctx)
		defer cancel()
		if err := errors.Join(st.agreement.holds(ctx, time.Now()), st.serving(ctx)); err != nil {
			return slices.Repeat([]cache.Result{{Err: err}}, len(keys))
		}
		keys, tags := slices.Clone(keys), slices.Clone(tags) // it may go on when we have returned
		if m, ok := inTime(ctx, st.batching, func() *batchRead { return st.getMany(ctx, conn, keys, tags) }); ok {
			m.fetch(ctx)
			return m.all()
		}
		err = ctx.Err()
		for _, key := range keys {
			st.slow.add(key)
		}
	}
	return slices.Repeat([]cache.Result{{Err: err}}, len(keys))
}

func (st *store) getMany(ctx context.Context, conn rueidis.Client, keys, tags []string) *batchRead {
	first := make(map[string]int, len(keys))
	m := &batchRead{store: st, conn: conn, results: make([]cache.Result, len(keys)), keys: keys, refs: make([]keyRef, len(keys)), first: first}
	lanes := make(map[int]*mgetCall)
	var reads []*mgetCall
	for i, key := range keys {
		if _, twice := first[key]; twice {
			continue
		}
		first[key] = i
		k := st.keys.of(key)
		m.refs[i] = k
		learned := st.hints.lookup(key)
		if tags == nil && learned == nil || st.slow.has(key) {
			m.needScript = append(m.needScript, i)
			continue
		}
		lane := k.lane.number
		r := lanes[lane]
		if r == nil || len(r.keys) >= perRead {
			r = &mgetCall{lane: k.lane, at: make(map[string]int)}
			lanes[lane] = r
			reads = append(reads, r)
		}
		r.of = append(r.of, i)
		r.add(k.value())
		for n, name := range learned {
			if n > 0 { // the first is the entry
				r.add(name)
			}
		}
		for _, nonce := range st.keys.nonces(nil, k.lane, tags) {
			r.add(nonce)
		}
	}
	m.read(ctx, reads)
	return m
}

// all returns the results, also for keys that were asked for twice.
func (m *batchRead) all() []cache.Result {
	for i, key := range m.keys {
		if of := m.first[key]; of != i {
			m.results[i] = m.results[of]
			m.results[i].Value = bytes.Clone(m.results[of].Value)
		}
	}
	return m.results
}

// read answers for all keys.
func (m *batchRead) read(ctx context.Context, reads []*mgetCall) {
	scripted := m.needScript
	m.needScript = nil
	commands := make([]rueidis.Completed, 0, len(reads)+len(scripted))
	for _, r := range reads {
		commands = append(commands, m.conn.B().Mget().Key(r.keys...).Build())
	}
	for _, i := range scripted {
		commands = append(commands, m.script(i, false))
	}
	replies := m.pipeline(ctx, m.conn, commands)
	for n, r := range reads {
		m.readLane(r, replies[n])
	}
	m.takeAll(ctx, scripted, replies[len(reads):])
	if strangers := m.needScript; len(strangers) > 0 {
		commands = commands[:0]
		for _, i := range strangers {
			m.hints.forget(m.keys[i])
			commands = append(commands, m.script(i, false))
		}
		m.takeAll(ctx, strangers, m.pipeline(ctx, m.conn, commands))
	}
}

// judge answers for the entries of one MGET, or notes that their tags are not among what was read.
func (m *batchRead) readLane(r *mgetCall, reply rueidis.RedisResult) {
	values, err := reply.ToArray()
	if err = m.observe(err); err != nil {
		for _, i := range r.of {
			if errors.Is(err, context.DeadlineExceeded) {
				m.slow.add(m.keys[i])
			}
			m.results[i].Err = err
		}
		return
	}
	for _, i := range r.of {
		raw, err := values[r.at[m.refs[i].value()]].AsBytes()
		if err != nil {
			m.results[i].Err = nilIsMiss(err)
			continue
		}
		e := entry(raw)
		if !m.withinLimit(m.refs[i], e) || !m.alive(e) {
			continue
		}
		payload, ok, stranger := e.judge(func(name []byte) (rueidis.RedisMessage, bool) {
			at, known := r.at[r.lane.nonceOf(string(name))]
			if !known {
				return rueidis.RedisMessage{}, false
			}
			return values[at], true
		})
		if stranger {
			m.needScript = append(m.needScript, i)
		} else if ok {
			m.found(i, e, payload)
		}
	}
}

// script is the command that reads one entry.
func (m *batchRead) script(i int, whole bool) rueidis.Completed {
	k := m.refs[i]
	if whole {
		return m.conn.B().EvalRo().Script(getText).Numkeys(1).Key(k.value()).Arg(m.scriptArgs(k)...).Build()
	}
	return m.conn.B().EvalshaRo().Sha1(getSHA).Numkeys(1).Key(k.value()).Arg(m.scriptArgs(k)...).Build()
}

// unknown answers for what the script has read. Where a server does not know the script, the first command
// in each lane brings it.
func (m *batchRead) takeAll(ctx context.Context, of []int, replies []rueidis.RedisResult) {
	var again []int
	var commands []rueidis.Completed
	loaded := make(map[*laneKeys]bool)
	for n, i := range of {
		if isNoScript(replies[n].Error()) {
			lane := m.refs[i].lane
			again, commands = append(again, i), append(commands, m.script(i, !loaded[lane]))
			loaded[lane] = true
			continue
		}
		m.take(i, replies[n])
	}
	for n, reply := range m.pipeline(ctx, m.conn, commands) {
		m.take(again[n], reply)
	}
}

// take answers for what the script has said of one entry.
func (m *batchRead) take(i int, result rueidis.RedisResult) {
	var raw entry
	reply, err := result.ToMessage()
	if err == nil {
		raw, err = entryOf(reply)
	}
	e, payload, err := m.scripted(m.keys[i], m.refs[i], raw, err)
	if e == nil {
		m.results[i].Err = err
		return
	}
	m.found(i, e, payload)
}

// pipeline sends commands, many at once.
func (st *store) pipeline(ctx context.Context, conn rueidis.Client, commands []rueidis.Completed) []rueidis.RedisResult {
	if len(commands) == 0 {
		return nil
	}
	if len(commands) <= perPipeline {
		return conn.DoMulti(ctx, commands...)
	}
	replies := make([]rueidis.RedisResult, 0, len(commands))
	for len(commands) > 0 {
		n := min(len(commands), perPipeline)
		replies = append(replies, conn.DoMulti(ctx, commands[:n]...)...)
		commands = commands[n:]
	}
	return replies
}

// SetMany implements cache.Batcher: one pipeline for each node, with one script for each item.
func (s *Strategy) SetMany(ctx context.Context, items []cache.Item) []error {
	if len(items) == 0 {
		return nil
	}
	st, conn, err := s.connected(ctx)
	if err == nil {
		ctx, cancel := st.withDeadline(ctx)
		defer cancel()
		if err := errors.Join(st.agreement.holds(ctx, time.Now()), st.serving(ctx)); err != nil {
			return slices.Repeat([]error{err}, len(items))
		}
		items := slices.Clone(items) // likewise
		for i := range items {
			items[i].Value = bytes.Clone(items[i].Value)
			items[i].Options.Tags = slices.Clone(items[i].Options.Tags)
		}
		if failures, ok := inTime(ctx, st.batching, func() []error { return s.setMany(ctx, st, conn, items) }); ok {
			s.setLarge(ctx, items, failures)
			return failures
		}
		err = ctx.Err()
	}
	return slices.Repeat([]error{err}, len(items))
}

// setLarge stores those that are too large for a pipeline.
func (s *Strategy) setLarge(ctx context.Context, items []cache.Item, failures []error) {
	var all sync.WaitGroup
	for i, item := range items {
		if len(item.Value) > inline {
			all.Go(func() { failures[i] = s.Set(ctx, item.Key, item.Value, item.Options) })
		}
	}
	all.Wait()
}

// setMany stores all but the large ones.
func (s *Strategy) setMany(ctx context.Context, st *store, conn rueidis.Client, items []cache.Item) []error {
	failures := make([]error, len(items))
	var hidden []int // what must not stay readable
	calls, of := make([]rueidis.LuaExec, 0, len(items)), make([]int, 0, len(items))
	for i, item := range items {
		if len(item.Value) > inline { // see setLarge
			continue
		}
		call, err := st.storeCall(st.keys.of(item.Key), item.Value, item.Options, leaseState{})
		if err != nil {
			failures[i] = err
			hidden = append(hidden, i)
			continue
		}
		calls, of = append(calls, call), append(of, i)
	}
	for n, err := range st.storeAll(ctx, conn, calls) {
		failures[of[n]] = err
		var answer *ServerError
		if errors.As(err, &answer) {
			// Refused before it began, for want of memory for example.
			hidden = append(hidden, of[n])
		}
	}
	if len(hidden) > 0 {
		keys := make([]string, len(hidden))
		for n, i := range hidden {
			keys[n] = items[i].Key
		}
		if err := s.hide(ctx, keys...); err != nil {
			for _, i := range hidden {
				failures[i] = errors.Join(failures[i], err)
			}
		}
	}
	return failures
}

// storeAll runs the script for each of calls. Where a server does not know it, the first command in each
// lane brings it.
func (st *store) storeAll(ctx context.Context, conn rueidis.Client, calls []rueidis.LuaExec) []error {
	failures := make([]error, len(calls))
	commands := make([]rueidis.Completed, len(calls))
	for i, call := range calls {
		commands[i] = evalsha(conn, storeSHA, call)
	}
	var again []int
	for i, reply := range st.pipeline(ctx, conn, commands) {
		if err := reply.Error(); isNoScript(err) {
			again = append(again, i)
		} else {
			failures[i] = st.observe(err)
		}
	}
	commands = commands[:0]
	loaded := make(map[string]bool)
	for _, i := range again {
		if ledger := calls[i].Keys[2]; loaded[ledger] {
			commands = append(commands, evalsha(conn, storeSHA, calls[i]))
		} else {
			loaded[ledger] = true
			commands = append(commands, eval(conn, storeText, calls[i]))
		}
	}
	for n, reply := range st.pipeline(ctx, conn, commands) {
		failures[again[n]] = st.observe(reply.Error())
	}
	return failures
}
