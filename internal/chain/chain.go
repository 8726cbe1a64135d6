// Package chain notes in a context what the code that has it is within: loads, writes and open
// transactions, one inside the other. It is what tells a loader that reaches its own key from a
// stranger who asks for it. It knows nothing of caches; what is loaded is any comparable value.
package chain

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrRecursiveLoad: a loader asks for what it loads itself.
var ErrRecursiveLoad = errors.New("cache: a loader asks for what it is loading")

// Kind says what a [Link] is.
type Kind uint8

const (
	// Load reads what others may be waiting for.
	Load Kind = iota
	// LoadAfterWait is a Load by somebody who has waited for another's. Nobody within it waits
	// again, so that a ring of waiting loads ends after one wait and not after one for each.
	LoadAfterWait
	// Write changes what is loaded.
	Write
	// Transaction is open in the database. It ends with its context.
	Transaction
)

// Link is one load, write or transaction. The nil Link is within nothing. A Link is safe for
// concurrent use.
type Link struct {
	outer *Link
	kind  Kind
	what  any
	over  atomic.Bool
}

type contextKey struct{}

// Enter returns ctx as it is within a load or write of what, which lasts until End.
func Enter(ctx context.Context, kind Kind, what any) (context.Context, *Link) {
	link := &Link{outer: From(ctx), kind: kind, what: what}
	return context.WithValue(ctx, contextKey{}, link), link
}

// Leave returns ctx as it is within nothing: for work that nobody within waits for.
func Leave(ctx context.Context) context.Context {
	if From(ctx) == nil {
		return ctx
	}
	return context.WithValue(ctx, contextKey{}, (*Link)(nil))
}

// From returns the innermost link of ctx that is not over, or nil.
func From(ctx context.Context) *Link {
	link, _ := ctx.Value(contextKey{}).(*Link)
	return link.alive()
}

// End says that the load or write is over. A context that somebody has kept is as good as any then.
func (l *Link) End() { l.over.Store(true) }

func (l *Link) alive() *Link {
	for l != nil && l.over.Load() {
		l = l.outer
	}
	return l
}

// Relation says how code stands to what it asks for.
type Relation uint8

const (
	// Apart means that it is neither loading nor writing it.
	Apart Relation = iota
	// Loading means that it is loading it. To wait for it is to wait for oneself; to load it again
	// never ends.
	Loading
	// Writing means that it is writing it, or within a transaction that may see it otherwise than
	// others do. What is stored is not what it has to read.
	Writing
)

// To returns the relation of the code within l to what. The innermost link of what decides, so that
// a write may load what it has written, and a load may write what it did not find. But load, write,
// load, write and so on must end: from the second load on it is Loading.
func (l *Link) To(what any) Relation {
	innermost, loads, transaction := Apart, 0, false
	for l = l.alive(); l != nil; l = l.outer.alive() {
		relation := Loading
		switch {
		case l.kind == Transaction:
			transaction = true
			continue
		case l.what != what:
			continue
		case l.kind == Write:
			relation = Writing
		default:
			loads++
		}
		if innermost == Apart {
			innermost = relation
		}
	}
	switch {
	case loads > 1:
		return Loading
	case innermost == Apart && transaction:
		return Writing
	default:
		return innermost
	}
}

// Patience bounds the wait of code within l for what somebody else loads, because that load may be
// waiting for this code. over is nil if the code may wait for as long as its context.
func (l *Link) Patience(wait time.Duration) (over <-chan time.Time, stop func()) {
	if l == nil {
		return nil, func() {}
	}
	if l.HasWaited() {
		wait = 0
	}
	timer := time.NewTimer(wait)
	return timer.C, func() { timer.Stop() }
}

// InTransaction reports whether a database transaction is open.
func (l *Link) InTransaction() bool { return l.within(Transaction) }

// HasWaited reports whether somebody within l has waited already.
func (l *Link) HasWaited() bool { return l.within(LoadAfterWait) }

func (l *Link) within(kind Kind) bool {
	for l = l.alive(); l != nil; l = l.outer.alive() {
		if l.kind == kind {
			return true
		}
	}
	return false
}

// HungAfter is the time after which a load is warned about.
const HungAfter = time.Minute

// ErrHung is what the warning says.
var ErrHung = fmt.Errorf("it has been running for %v", HungAfter)
