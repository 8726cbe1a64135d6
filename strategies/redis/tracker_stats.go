package redis

import (
	"sync/atomic"
	"time"
)

// TrackerStats counts what a Tracker has done since Track.
type TrackerStats struct {
	// Feeds is how many feeds there are now, and Fresh how many of them are fresh. Masters is how
	// many there should be. Ended is how many have ended.
	Feeds, Fresh, Masters int
	Ended                 uint64
	// Pushes is how many keys Redis has told of.
	Pushes uint64
	// Heartbeats is how many were sent, and Answered how many of them were answered as they should.
	Heartbeats, Answered uint64
	// Tracked is how many reads have found an entry that may be kept. Untracked are all others, by
	// the reason.
	Tracked   uint64
	Untracked map[string]uint64
	// Lag is the lag in use, and 0 if the nodes do not agree about one. Took is how long the last
	// heartbeat took, on the feed where that was longest.
	Lag, Took time.Duration
	// Refused says why tracking does not work, and is empty if it works.
	Refused string
}

// counts are what TrackerStats is made of.
type counts struct {
	ended, pushes, heartbeats, answered atomic.Uint64
	reads                               [outcomes]atomic.Uint64
}

// Stats returns what the Tracker has done.
func (t *Tracker) Stats() TrackerStats {
	s := TrackerStats{
		Ended: t.counts.ended.Load(), Pushes: t.counts.pushes.Load(),
		Heartbeats: t.counts.heartbeats.Load(), Answered: t.counts.answered.Load(),
		Tracked: t.counts.reads[tracked].Load(), Untracked: make(map[string]uint64),
	}
	for why, name := range outcomeNames {
		if n := t.counts.reads[why].Load(); n > 0 && outcome(why) != tracked {
			s.Untracked[name] = n
		}
	}
	if agreed := t.agreed.Load(); agreed != nil {
		s.Lag = agreed.lag
	}
	for _, f := range t.feeds() {
		s.Feeds++
		if t.fresh(f) {
			s.Fresh++
		}
		if last := f.answered.Load(); last != nil {
			s.Took = max(s.Took, last.took)
		}
	}
	t.mu.Lock()
	s.Masters = len(t.keepers)
	t.mu.Unlock()
	t.refused.mu.Lock()
	s.Refused = t.refused.text
	t.refused.mu.Unlock()
	return s
}
