package checker

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
)

// Violation is a Get that returned something it must not return.
type Violation struct {
	Event  Event
	Reason string
}

// String implements fmt.Stringer.
func (v Violation) String() string {
	read := fmt.Sprintf("version %d", v.Event.Read.Version)
	if v.Event.Gone {
		read = "no session"
	}
	return fmt.Sprintf("node %d, client %d: get of token %d from %d to %d returned %s: %s",
		v.Event.Node, v.Event.Client, v.Event.Read.Token, v.Event.Call, v.Event.Return, read, v.Reason)
}

// history is a window as the judge needs it.
type history struct {
	Window
	commits [Tokens][]Commit
	before  minVersions // when the window begins
}

// committed returns the version of a token at a time.
func (h *history) committed(token int, at int64) int64 {
	commits := h.commits[token]
	return int64(sort.Search(len(commits), func(i int) bool { return commits[i].At > at })) - 1
}

// acks returns the events that may raise a minVersion, in the order in which they returned.
func (h *history) acks() []*Event {
	var acks []*Event
	for i := range h.Events {
		if e := &h.Events[i]; len(e.Acked) > 0 {
			acks = append(acks, e)
		}
	}
	slices.SortFunc(acks, func(a, b *Event) int { return cmp.Compare(a.Return, b.Return) })
	return acks
}

// readings returns the Gets that prove something, in the order in which they began.
func (h *history) readings() []*Event {
	var gets []*Event
	for i := range h.Events {
		if e := &h.Events[i]; e.Kind == Get && e.Outcome == Done {
			gets = append(gets, e)
		}
	}
	slices.SortFunc(gets, func(a, b *Event) int { return cmp.Compare(a.Call, b.Call) })
	return gets
}

// sweep goes through the window in order of time. It calls visit for each reading, with the
// minVersion that was in force when the reading began. It returns the minVersions at the end of the
// window.
func (h *history) sweep(visit func(get *Event, minVersion int64)) minVersions {
	now := h.before.clone()
	acks := h.acks()
	for _, get := range h.readings() {
		for len(acks) > 0 && acks[0].Return < get.Call {
			now.apply(acks[0], h.Lossy)
			acks = acks[1:]
		}
		visit(get, now.of(get.Node, get.Read.Token))
	}
	for _, ack := range acks {
		now.apply(ack, h.Lossy)
	}
	return now
}

// wrong says why a Get must not have returned its result, or "" if the result is fine. This is
// guarantee G1: a Get does not return what was revoked or replaced before the Get began. Nor can it
// return what was not committed when the Get returned.
func (h *history) wrong(get *Event, minVersion int64) string {
	token := get.Read.Token
	top := h.committed(token, get.Return)
	switch version := get.Read.Version; {
	case get.Foreign != "":
		return get.Foreign
	case get.Gone && h.commits[token][top].LastGone < minVersion:
		return fmt.Sprintf("the session exists since version %d, and that was known before the get began", h.commits[token][minVersion].LastGone+1)
	case get.Gone:
		return ""
	case version < minVersion:
		return fmt.Sprintf("all before version %d was revoked before the get began", minVersion)
	case version > top:
		return fmt.Sprintf("the database had version %d only", top)
	case h.commits[token][version].Gone:
		return "there is no session in that version"
	default:
		return ""
	}
}

// intervals compares each Get with what was known before it began. It returns the minVersions at
// the end of the window.
func (h *history) intervals() (violations []Violation, after minVersions) {
	after = h.sweep(func(get *Event, minVersion int64) {
		if reason := h.wrong(get, minVersion); reason != "" {
			violations = append(violations, Violation{*get, reason})
		}
	})
	return violations, after
}
