// Package chain records in a context which loads, writes and open transactions the code runs
// within. They may be nested. With it, a loader that asks for the key it is loading can be told
// from another caller that asks for the same key. The package knows nothing about caches: any
// comparable value can stand for what is loaded.
package chain

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrRecursiveLoad says that a loader asks for what it is loading.
var ErrRecursiveLoad = errors.New("cache: a loader asks for what it is loading")

// Kind says what a [Link] is.
type Kind uint8

const (
	// Load reads what others may be waiting for.
	Load Kind = iota
	// LoadAfterWait is a Load by code that has already waited for another load. Code within it does
	// not wait again. So a cycle of waiting loads ends after one wait, and not after one per load.
	LoadAfterWait
	// Write changes what is loaded.
	Write
	// Transaction is open in the database. It ends with its context.
	Transaction
)

// Link is one load, write or transaction. The nil Link stands for code outside of all. A Link is
// safe for concurrent use.
type Link struct {
	outer *Link
	kind  Kind
	what  any
	many  func() map[any]struct{} // of a load of many; then what is nil
	over  atomic.Bool
	// carried is what Carry got; nil after End, because a context may be kept for long.
	carried atomic.Pointer[any]
}

type contextKey struct{}

// Enter returns a context for code within a load or write of what. The load or write lasts until
// End.
func Enter(ctx context.Context, kind Kind, what any) (context.Context, *Link) {
	link := &Link{outer: From(ctx), kind: kind, what: what}
	return context.WithValue(ctx, contextKey{}, link), link
}

// EnterMany is Enter for one load of many. Each of them counts as being loaded by it. many is
// called if that is asked for, perhaps by several goroutines.
func EnterMany(ctx context.Context, kind Kind, many func() map[any]struct{}) (context.Context, *Link) {
	link := &Link{outer: From(ctx), kind: kind, many: many}
	return context.WithValue(ctx, contextKey{}, link), link
}

// concerns reports whether what is loaded or written by the link itself.
func (l *Link) concerns(what any) bool {
	if l.many == nil {
		return l.what == what
	}
	_, one := l.many()[what]
	return one
}

// Leave returns a context outside of all loads and writes. It is for work that no code within them
// waits for.
func Leave(ctx context.Context) context.Context {
	if From(ctx) == nil {
		return ctx
	}
	return context.WithValue(ctx, contextKey{}, (*Link)(nil))
}

// From returns the innermost link of ctx that has not ended, or nil.
func From(ctx context.Context) *Link {
	return innermost(ctx).alive()
}

// innermost returns the innermost link of ctx, also if it has ended, or nil.
func innermost(ctx context.Context) *Link {
	link, _ := ctx.Value(contextKey{}).(*Link)
	return link
}

// End marks the load or write as ended. A context that was kept beyond it then counts as outside.
func (l *Link) End() {
	l.over.Store(true)
	l.carried.Store(nil)
}

// Carry hands something to the code within l, for Carried. It comes before that code runs.
func (l *Link) Carry(what any) { l.carried.Store(&what) }

// Carried returns what the innermost link of ctx carries, or nil. It looks no further out, not even
// if that link has ended: what an outer load carries concerns the code of that load alone.
func Carried(ctx context.Context) any {
	if link := innermost(ctx); link != nil {
		if what := link.carried.Load(); what != nil {
			return *what
		}
	}
	return nil
}

func (l *Link) alive() *Link {
	for l != nil && l.over.Load() {
		l = l.outer
	}
	return l
}

// Relation is the relation between code and what it asks for.
type Relation uint8

const (
	// Apart means that the code is neither loading nor writing it.
	Apart Relation = iota
	// Loading means that the code is loading it. If it waited for that load, it would wait for
	// itself. If it loaded again, that would never end.
	Loading
	// Writing means that the code is writing it, or runs within a transaction that may see another
	// state than others do. The code must not read what is stored.
	Writing
)

// To returns the relation of the code within l to what. The innermost link of what decides. So a
// write may load what it has written, and a load may write what it did not find. An alternation of
// loads and writes must end, so from the second load on the relation is Loading.
func (l *Link) To(what any) Relation {
	innermost, loads, transaction := Apart, 0, false
	for l = l.alive(); l != nil; l = l.outer.alive() {
		relation := Loading
		switch {
		case l.kind == Transaction:
			transaction = true
			continue
		case !l.concerns(what):
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

// directKey is the context key of WithoutPropagation.
type directKey struct{}

// WithoutPropagation returns a context for one call that need not wait until other nodes have
// noticed what it changes. It does not hold within the loads and writes of that call.
func WithoutPropagation(ctx context.Context) context.Context {
	return context.WithValue(ctx, directKey{}, innermost(ctx))
}

// SkipsPropagation reports whether ctx comes from WithoutPropagation. Links count that have ended:
// a context may be kept beyond a write.
func SkipsPropagation(ctx context.Context) bool {
	link, direct := ctx.Value(directKey{}).(*Link)
	return direct && link == innermost(ctx)
}

// Patience bounds how long code within l waits for a load of another caller, because that load may
// be waiting for this code. over is nil if only the context bounds the wait.
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

// HasWaited reports whether code within l has already waited.
func (l *Link) HasWaited() bool { return l.within(LoadAfterWait) }

func (l *Link) within(kind Kind) bool {
	for l = l.alive(); l != nil; l = l.outer.alive() {
		if l.kind == kind {
			return true
		}
	}
	return false
}

// HungAfter is the time after which a warning about a load is logged.
const HungAfter = time.Minute

// ErrHung is the text of that warning.
var ErrHung = fmt.Errorf("it has been running for %v", HungAfter)
