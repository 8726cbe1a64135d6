package filewatch

import (
	"testing"
	"time"
)

// Each line is a look at the files: when, what is in them, and what should follow.
func TestSettling(t *testing.T) {
	t.Parallel()
	type look struct {
		at      time.Duration
		content byte
		handOn  bool
		again   time.Duration
	}
	for name, looks := range map[string][]look{
		"the first is handed on too": {{0, 1, false, 10}, {10, 1, true, 0}, {20, 1, false, 0}},
		"a look too early":           {{0, 1, false, 10}, {9, 1, false, 1}, {10, 1, true, 0}},
		"it changes in between":      {{0, 1, false, 10}, {8, 2, false, 10}, {17, 2, false, 1}, {18, 2, true, 0}},
		"there and back":             {{0, 1, false, 10}, {10, 1, true, 0}, {20, 2, false, 10}, {25, 1, false, 0}, {40, 1, false, 0}},
		"back, and again": {{0, 1, false, 10}, {10, 1, true, 0}, {20, 2, false, 10}, {25, 1, false, 0},
			{26, 2, false, 10}, {35, 2, false, 1}, {36, 2, true, 0}},
		"it never settles": {{0, 1, false, 10}, {10, 1, true, 0}, {20, 2, false, 10}, {28, 3, false, 10}, {36, 4, false, 10},
			{44, 5, false, 6}, {50, 6, true, 0}, {51, 7, false, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := settling{quiet: 10, longest: 30}
			began := time.Unix(1, 0)
			for _, l := range looks {
				if handOn, again := s.observe(began.Add(l.at), digest{l.content}); handOn != l.handOn || again != l.again {
					t.Errorf("content %d at %d: handed on %v, again %d; want %v, %d", l.content, l.at, handOn, again, l.handOn, l.again)
				}
			}
		})
	}
}
