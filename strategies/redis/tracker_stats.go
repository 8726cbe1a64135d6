package redis

import "time"

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
	// Tracked is how many reads have found an entry that may be kept. Untracked are all others by
	// the reason.
	Tracked   uint64
	Untracked map[string]uint64
	// Lag is the lag that is used, and Seen how long the last heartbeat took. Both are the largest
	// of all feeds. Lag is 0 while nothing is fresh.
	Lag, Seen time.Duration
	// Refused says why tracking does not work, and is "" if it works.
	Refused string
}

// Stats returns what the Tracker has done.
func (t *Tracker) Stats() TrackerStats { return TrackerStats{} }
