package checker

import (
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// The model of one token. Its state is the version in the database and the acknowledged version.
// The cache has acknowledged that nothing older than the latter will be read. A read may return any
// version from the acknowledged one on.
type (
	state struct{ acked, committed int64 }

	act struct {
		kind    actKind
		version int64
		gone    bool // of a read: no session was found
	}
	actKind uint8
)

const (
	commit actKind = iota // the database got the version
	ack                   // the cache said so
	read                  // a Get returned the version
)

func modelOf(commits []Commit, from state) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return from },
		Step: func(before, input, _ any) (bool, any) {
			s, a := before.(state), input.(act)
			switch {
			case a.kind == commit:
				return a.version == s.committed+1, state{s.acked, a.version}
			case a.version > s.committed:
				return false, s
			case a.kind == ack:
				return true, state{max(s.acked, a.version), s.committed}
			case a.gone:
				return commits[s.committed].LastGone >= s.acked, s
			default:
				return a.version >= s.acked && !commits[a.version].Gone, s
			}
		},
		Equal: func(a, b any) bool { return a == b },
	}
}

// linearizable asks porcupine about every token, as all nodes must see it, and again about each
// pair of a token and a node that has pending revocations of it, as that node must: there, a
// pending revocation counts as acknowledged (G4: it is applied before the node serves another hit).
//
// A revocation that failed stays open-ended: it may be applied at any time from then on, or never.
// The model only ever forbids more after an acknowledgement, so that "never" permits whatever any
// other time does; it is therefore left out instead of costing porcupine a search over all times.
func (h *history) linearizable(timeout time.Duration) porcupine.CheckResult {
	deadline := time.Now().Add(timeout)
	verdict := porcupine.Ok
	check := func(operations []porcupine.Operation, token int, acked int64) {
		from := state{acked: acked, committed: h.Base[token]}
		// 0 would mean no timeout.
		left := max(time.Millisecond, time.Until(deadline))
		switch result := porcupine.CheckOperationsTimeout(modelOf(h.commits[token], from), operations, left); {
		case result == porcupine.Illegal:
			verdict = result
		case result == porcupine.Unknown && verdict == porcupine.Ok:
			verdict = result
		}
	}
	var tokens [Tokens][]porcupine.Operation // without reads
	var reads [Tokens][]*Event
	pending := make(map[[2]int][]porcupine.Operation) // by node and token
	for token := range tokens {
		for version := h.Base[token] + 1; version <= h.Top[token]; version++ {
			at := h.commits[token][version].At
			tokens[token] = append(tokens[token], porcupine.Operation{Input: act{kind: commit, version: version}, Call: at, Return: at})
		}
	}
	for node, own := range h.before.node {
		for token, version := range own {
			if version > h.before.all[token] {
				pending[[2]int{node, token}] = nil
			}
		}
	}
	for i := range h.Events {
		e := &h.Events[i]
		if e.Kind == Get && e.Outcome == Done {
			reads[e.Read.Token] = append(reads[e.Read.Token], e)
		}
		for _, mark := range e.Acked {
			operation := porcupine.Operation{Input: act{kind: ack, version: mark.Version}, Call: e.Committed, Return: e.Return, ClientId: e.Client}
			switch pair := [2]int{e.Node, mark.Token}; {
			case e.Outcome == Pending:
				pending[pair] = append(pending[pair], operation)
			case e.Outcome == Done && (e.Kind.revokes() || !h.Lossy):
				tokens[mark.Token] = append(tokens[mark.Token], operation)
			}
		}
	}
	operationsOf := func(token int, of func(*Event) bool) []porcupine.Operation {
		operations := slices.Clone(tokens[token])
		for _, e := range reads[token] {
			if of(e) {
				a := act{kind: read, version: e.Read.Version, gone: e.Gone}
				if e.Foreign != "" {
					a.version = math.MaxInt64 // no version of this token
				}
				if e.Gone {
					a.version = 0
				}
				operations = append(operations, porcupine.Operation{Input: a, Call: e.Call, Return: e.Return, ClientId: e.Client})
			}
		}
		return operations
	}
	for token := range tokens {
		check(operationsOf(token, func(*Event) bool { return true }), token, h.before.all[token])
	}
	for pair, acks := range pending {
		node, token := pair[0], pair[1]
		operations := append(operationsOf(token, func(e *Event) bool { return e.Node == node }), acks...)
		check(operations, token, h.before.of(node, token))
	}
	return verdict
}
