package bigcache

import (
	"sync"
	"sync/atomic"

	"github.com/allegro/bigcache/v3"
)

// bigcache is a queue. What is overwritten or deleted stays in it until its turn comes. So one
// entry that is written often would push out all others, although most of the memory is dead. An
// entry that is pushed out while it is alive therefore gets a second chance: it is written again.
// (Second-chance replacement as in FIFO-Reinsertion, except that every live entry is referenced.)
//
// That is right while less than half of the memory is alive. Each part has a credit of bytes for
// it. Each byte that is written earns one, and each live byte that is pushed out costs one, whether
// it is written again or not. If more than half is alive, the credit therefore stays near zero, and
// the oldest entries go, as in bigcache.
//
// bigcache tells of an evicted entry while it holds its lock. So the entry waits in its part until
// the writer who needed the room has ended. In the meantime, it can be read and deleted as before.
type part struct {
	credit atomic.Int64 // bytes
	mu     sync.Mutex
	// waiting are the evicted entries that may be alive, by key.
	waiting map[string]entry
}

// evicted is called by bigcache, for an entry that was neither deleted nor overwritten.
func (st *store) evicted(key string, raw []byte, _ bigcache.RemoveReason) {
	e := entry(raw)
	if expired := e.valid() && !st.current(e); expired || !e.valid() && !e.isChunk() {
		return // it would only be thrown away later
	}
	p := st.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = make(map[string]entry)
	}
	if _, again := p.waiting[key]; !again {
		st.waiting.Add(1)
	}
	p.waiting[key] = e
}

// part is the one whose entries share their memory with what is stored under name.
func (st *store) part(name string) *part {
	return &st.parts[st.hasher.Sum64(name)%uint64(len(st.parts))]
}

// await returns an entry that is waiting, or nil. The caller must not change it.
func (st *store) await(key string) entry {
	if st.waiting.Load() == 0 {
		return nil // nearly always
	}
	p := st.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting[key]
}

// take is await, and the entry no longer waits.
func (st *store) take(key string) entry {
	if st.waiting.Load() == 0 {
		return nil
	}
	p := st.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.waiting[key]
	if e != nil {
		delete(p.waiting, key)
		st.waiting.Add(-1)
	}
	return e
}

// settle gives a second chance to what a write has pushed out. The caller holds no key in the
// fence.
func (st *store) settle(key string, value []byte) {
	if st.waiting.Load() == 0 {
		return
	}
	st.readmit(st.part(key))
	if len(value) > st.small/2 { // it may be in chunks, which are everywhere
		for i := range st.parts {
			st.readmit(&st.parts[i])
		}
	}
}

// readmit returns when nothing waits in a part. The credit bounds how much is written again.
func (st *store) readmit(p *part) {
	for key, ok := p.any(); ok; key, ok = p.any() {
		// A deletion or a write of the key comes before or after, but not in between. Either takes
		// the entry away, so that it cannot come back.
		st.fence.Hold(st.fence.Hash(key), func() {
			e := st.take(key)
			if e == nil || !st.alive(e) {
				return
			}
			size := overheadBytes + len(key) + len(e)
			if p.afford(int64(size), st.maxCredit) && size <= st.reusable {
				_ = st.entries.Set(key, e) // else it is gone
			}
		})
	}
}

// afford charges a live entry to the credit. It returns false if that was too little.
func (p *part) afford(size, maxCredit int64) bool {
	left := p.credit.Add(-size)
	if left < -maxCredit {
		p.credit.Store(-maxCredit)
	}
	return left >= 0
}

// any returns the key of an entry that waits.
func (p *part) any() (key string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.waiting {
		return key, true
	}
	return "", false
}

// earn notes that an entry was written.
func (st *store) earn(key string, size int) {
	p := st.part(key)
	if p.credit.Add(int64(size)) > st.maxCredit {
		p.credit.Store(st.maxCredit)
	}
}

// alive reports whether an entry can still be read.
func (st *store) alive(e entry) bool {
	if e.isChunk() {
		// Of a large value that is still there.
		head, found, err := st.read(e.chunkOf())
		return err == nil && found && head.isHead() && head.id() == e.id() && st.current(head)
	}
	return st.current(e)
}

// current reports whether an entry, not a chunk, has neither expired nor been invalidated.
func (st *store) current(e entry) bool {
	if st.clock.Now().UnixMilli() >= e.expiry() {
		return false
	}
	if st.fence.Untouched(e.sequence()) {
		return true
	}
	var few [8]uint64 // on the stack: this is the hot path after any invalidation
	return st.fence.Good(e.sequence(), e.appendTags(few[:0])...)
}
