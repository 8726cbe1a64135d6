package filewatch

import "time"

// settling decides when a content is handed on: if it differs from the last one that was, and has
// stayed the same for quiet. A content that keeps changing is handed on all the same, longest after
// the first change. It knows no clock.
type settling struct {
	quiet, longest time.Duration

	any     bool // something was handed on
	last    digest
	pending digest
	// since is when pending was first seen. began is when a content other than last was first seen,
	// or zero.
	since, began time.Time
}

// observe takes the content at now. again is when to look again, and zero means that there is
// nothing to wait for.
func (s *settling) observe(now time.Time, content digest) (handOn bool, again time.Duration) {
	if s.any && content == s.last {
		s.began = time.Time{}
		return false, 0
	}
	if s.began.IsZero() {
		s.began, s.pending, s.since = now, content, now
	} else if content != s.pending {
		s.pending, s.since = content, now
	}
	again = min(s.quiet-now.Sub(s.since), s.longest-now.Sub(s.began))
	if again > 0 {
		return false, again
	}
	s.any, s.last, s.began = true, content, time.Time{}
	return true, 0
}
