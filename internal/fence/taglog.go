package fence

import "sync"

const tagShardCount = 16

// tagLog remembers when each tag was invalidated last, for a bounded number of tags.
type tagLog struct{ shards [tagShardCount]tagShard }

type tagShard struct {
	sync.RWMutex
	limit int
	last  map[uint64]uint64 // tag → sequence of its last invalidation
	// floor is the highest sequence that was forgotten. An entry below it, with a tag of this
	// shard, may carry a tag whose invalidation was forgotten.
	floor uint64
	// queue holds (tag, sequence) in the order of invalidation, so that the oldest can be
	// forgotten. If a tag is invalidated again, its older element is dead. It stays until it is
	// popped or compacted.
	queue []tagEvent
}

type tagEvent struct{ tag, sequence uint64 }

func (l *tagLog) init(limit int) {
	for i := range l.shards {
		l.shards[i].limit = max(1, limit/tagShardCount)
		l.shards[i].last = make(map[uint64]uint64)
	}
}

// good reports whether none of tags was invalidated after sequence.
func (l *tagLog) good(sequence uint64, tags []uint64) bool {
	for _, tag := range tags {
		s := &l.shards[tag%tagShardCount]
		s.RLock()
		last := max(s.last[tag], s.floor)
		s.RUnlock()
		if last > sequence {
			return false
		}
	}
	return true
}

func (l *tagLog) note(tag, sequence uint64) {
	s := &l.shards[tag%tagShardCount]
	s.Lock()
	defer s.Unlock()
	if s.last[tag] >= sequence {
		return // a later invalidation of the same tag was quicker
	}
	s.last[tag] = sequence
	s.queue = append(s.queue, tagEvent{tag, sequence})
	for len(s.last) > s.limit {
		oldest := s.queue[0]
		s.queue = s.queue[1:]
		if s.last[oldest.tag] == oldest.sequence {
			s.floor = max(s.floor, oldest.sequence)
			delete(s.last, oldest.tag)
		}
	}
	if len(s.queue) > 2*s.limit {
		s.compact()
	}
}

// compact drops the dead elements of the queue. At least half of its elements are dead.
func (s *tagShard) compact() {
	live := make([]tagEvent, 0, 2*s.limit+1)
	for _, e := range s.queue {
		if s.last[e.tag] == e.sequence {
			live = append(live, e)
		}
	}
	s.queue = live
}
