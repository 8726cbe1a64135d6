package checker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/checker"
)

// script writes a history by hand, in the order in which things happen.
type script struct {
	*checker.Database
	*checker.Judge
	window checker.Window
	last   int64
}

const token = 7

func newScript() *script {
	s := &script{Database: checker.NewDatabase()}
	s.Judge = checker.NewJudge(s.Database, &checker.FaultLog{}, time.Minute)
	s.begin()
	return s
}

func (s *script) begin() { s.window = checker.Window{Number: s.window.Number + 1, Base: s.Top()} }

// judge ends the window, and begins another.
func (s *script) judge() {
	s.window.Top = s.Top()
	s.Judge.Judge(s.window)
	s.begin()
}

// now returns a time that it has not returned before.
func (s *script) now() int64 {
	for {
		if now := checker.Now(); now > s.last {
			s.last = now
			return now
		}
	}
}

// start begins an operation of a node; done records it.
func (s *script) start(node int, kind checker.Kind) *checker.Event {
	return &checker.Event{Kind: kind, Node: node, Call: s.now()}
}

func (s *script) done(e *checker.Event) {
	e.Return = s.now()
	s.window.Events = append(s.window.Events, *e)
}

// commit does the database's part of a write.
func (s *script) commit(e *checker.Event) {
	s.now()
	if e.Kind == checker.Put {
		e.Acked = []checker.Mark{s.Put(token)}
	} else {
		e.Acked = s.Delete(func(t int) bool { return t == token })
	}
	e.Committed = s.now()
}

func (s *script) write(node int, kind checker.Kind, outcome checker.Outcome) {
	e := s.start(node, kind)
	s.commit(e)
	e.Outcome = outcome
	s.done(e)
}

// get records a complete Get that returns a version, or none if it found no session.
const none = -1

func (s *script) get(node int, version int64) {
	e := s.start(node, checker.Get)
	s.returns(e, version)
}

func (s *script) returns(e *checker.Event, version int64) {
	e.Read = checker.Mark{Token: token, Version: version}
	e.Gone = version == none
	s.done(e)
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		write func(s *script)
		wrong string // a part of the reason; "" for a legal history
	}{
		{"nothing happens", func(s *script) { s.get(1, none) }, ""},
		{"a session is read", func(s *script) { s.write(1, checker.Put, checker.Done); s.get(2, 1) }, ""},
		{"a stale get", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.write(1, checker.Revoke, checker.Done)
			s.get(2, 1)
		}, "before version 2 was revoked"},
		{"a stale get in a later window", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.write(1, checker.Revoke, checker.Done)
			s.judge()
			s.judge()
			s.get(2, 1)
		}, "before version 2 was revoked"},
		{"a stale get after an update", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.write(1, checker.Put, checker.Done)
			s.get(2, 1)
		}, "before version 2 was revoked"},
		{"a resurrected session", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.write(1, checker.Clear, checker.Done)
			s.get(2, none)
			s.get(2, 1)
		}, "before version 2 was revoked"},
		{"a session of before the one that is there", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.write(1, checker.Revoke, checker.Done)
			s.write(1, checker.Put, checker.Done)
			s.get(2, 1)
		}, "before version 3 was revoked"},
		{"a get that began before the revocation was acknowledged", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			get := s.start(2, checker.Get)
			s.write(1, checker.Revoke, checker.Done)
			s.returns(get, 1)
		}, ""},
		{"both states during a revocation, in any order", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			revoke := s.start(1, checker.RevokeUser)
			s.commit(revoke)
			s.get(2, none)
			s.get(2, 1)
			s.get(3, none)
			s.done(revoke)
			s.get(2, none)
		}, ""},
		{"a revocation that failed may never be applied", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.write(1, checker.Revoke, checker.Failed)
			s.get(1, 1)
			s.get(2, none)
			s.judge()
			s.get(2, 1)
		}, ""},
		{"a pending revocation, seen from another node", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.write(1, checker.Revoke, checker.Pending)
			s.get(2, 1)
			s.get(1, none)
		}, ""},
		{"an ignored pending revocation", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.write(1, checker.Revoke, checker.Pending)
			s.get(1, 1)
		}, "before version 2 was revoked"},
		{"an ignored pending revocation in a later window", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.write(1, checker.Revoke, checker.Pending)
			s.judge()
			s.get(2, 1)
			s.get(1, 1)
		}, "before version 2 was revoked"},
		{"an update that a failover lost", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.write(1, checker.Put, checker.Done)
			s.judge()
			s.window.Lossy = true
			s.get(2, 1)
		}, ""},
		{"a revocation that a failover lost", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.write(1, checker.Revoke, checker.Done)
			s.judge()
			s.window.Lossy = true
			s.get(2, 1)
		}, "before version 2 was revoked"},
		{"a session that is not found", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.get(2, none)
		}, "exists since version 1"},
		{"a version that the database never had", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.get(2, 2)
		}, "had version 1 only"},
		{"a version in which there is no session", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			s.write(1, checker.Revoke, checker.Done)
			s.get(2, 2)
		}, "no session in that version"},
		{"somebody else's session", func(s *script) {
			s.write(1, checker.Put, checker.Done)
			get := s.start(2, checker.Get)
			get.Foreign = "a session of token-1"
			s.returns(get, 1)
		}, "a session of token-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScript()
			test.write(s)
			s.judge()
			if s.Disagreed > 0 || s.Unknown > 0 {
				t.Errorf("the judges disagree about %d windows, and %d are unknown", s.Disagreed, s.Unknown)
			}
			switch {
			case test.wrong == "" && s.Failed():
				t.Errorf("found in a legal history: %v", s.Violations)
			case test.wrong == "":
			case len(s.Violations) != 1:
				t.Errorf("found %v, want one violation", s.Violations)
			case !strings.Contains(s.Violations[0].String(), test.wrong):
				t.Errorf("found %v, want %q", s.Violations[0], test.wrong)
			}
			if s.Failed() != (test.wrong != "") {
				t.Errorf("failed: %v", s.Failed())
			}
		})
	}
}

// TestStaleness: a session whose revocation failed is served for no longer than the bound.
func TestStaleness(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		skew    time.Duration
		overdue int
	}{
		{"the clocks are right", 0, 1},
		{"a clock was wrong", time.Hour, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScript()
			s.Judge = checker.NewJudge(s.Database, &checker.FaultLog{}, 10*time.Millisecond)
			s.window.Skew = int64(test.skew)
			s.write(1, checker.Put, checker.Done)
			s.write(1, checker.Revoke, checker.Failed)
			s.get(2, 1)
			replaced := s.last
			for s.last < replaced+int64(12*time.Millisecond) {
				s.now()
			}
			s.get(2, 1)
			s.judge()
			if len(s.Overdue) != test.overdue || len(s.Violations) > 0 || s.Failed() != (test.overdue > 0) {
				t.Errorf("overdue %v, stale %v, want %d and none", s.Overdue, s.Violations, test.overdue)
			}
			if worst := s.Worst[""]; worst < 12*time.Millisecond || worst > time.Second {
				t.Errorf("worst staleness %v, want 12ms or a little more", worst)
			}
		})
	}
}

// TestUnknown gives porcupine too little time for a window.
func TestUnknown(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.Patience = time.Nanosecond
	s.write(1, checker.Put, checker.Done)
	s.write(1, checker.Revoke, checker.Done)
	gets := make([]*checker.Event, 40)
	for i := range gets {
		gets[i] = s.start(i, checker.Get)
	}
	for _, get := range gets[1:] {
		s.returns(get, none)
	}
	s.returns(gets[0], 1)
	s.judge()
	if s.Unknown != 1 || !s.Failed() {
		t.Errorf("%d unknown windows, failed %v, want 1 and true", s.Unknown, s.Failed())
	}
}

// TestDisagreement forges a window in which only one of the judges can see the violation.
func TestDisagreement(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.get(2, 1)
	s.write(1, checker.Put, checker.Done)
	s.window.Base[token] = 1 // it was 0: porcupine takes the version for an old one
	s.judge()
	if s.Disagreed != 1 || !s.Failed() {
		t.Errorf("%d disagreements, failed %v, want 1 and true", s.Disagreed, s.Failed())
	}
}
