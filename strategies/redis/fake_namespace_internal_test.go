package redis

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// fakeNamespace is a namespace in memory, as several nodes see it: its fingerprint, and the entries
// that each layout has.
type fakeNamespace struct {
	mu      sync.Mutex
	raw     string
	entries map[int]bool // by lanes
	used    bool         // never empty
	wipes   int
}

func (b *fakeNamespace) swap(old, with string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.raw == old {
		b.raw = with
	}
	return b.raw
}

func (b *fakeNamespace) put(lanes int) { b.mu.Lock(); b.entries[lanes] = true; b.mu.Unlock() }

func (b *fakeNamespace) use() { b.mu.Lock(); b.used = true; b.mu.Unlock() }

func (b *fakeNamespace) write(raw string) { b.mu.Lock(); b.raw = raw; b.mu.Unlock() }

func (b *fakeNamespace) text() string { b.mu.Lock(); defer b.mu.Unlock(); return b.raw }

func (b *fakeNamespace) wiped() int { b.mu.Lock(); defer b.mu.Unlock(); return b.wipes }

// left counts the layouts that have entries, but for one.
func (b *fakeNamespace) left(but int) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for lanes := range b.entries {
		if lanes != but {
			n++
		}
	}
	return n
}

// view is how one node reaches the namespace.
type view struct {
	*fakeNamespace
	mu    sync.Mutex
	cut   bool
	delay func() time.Duration // of each message, to and fro; nil: none
	late  func() time.Duration // how much later a swap arrives that is not answered; nil: never
}

// pass is one message. Whoever is cut off gets no answer.
func (v *view) pass(ctx context.Context) error {
	wait := time.Duration(0)
	if v.delay != nil {
		wait = v.delay()
	}
	v.mu.Lock()
	cut := v.cut
	v.mu.Unlock()
	if cut {
		wait = time.Hour
	}
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return errNotConnected
	}
}

func (v *view) call(ctx context.Context, do func()) error {
	err := v.pass(ctx)
	if err == nil {
		do()
		err = v.pass(ctx)
	}
	return err
}

func (v *view) set(cut bool) { v.mu.Lock(); v.cut = cut; v.mu.Unlock() }

func (v *view) read(ctx context.Context) (raw string, err error) {
	err = v.call(ctx, func() { raw = v.text() })
	return raw, err
}

func (v *view) swap(ctx context.Context, old, with string, _ time.Duration) (raw string, err error) {
	if v.late != nil {
		if wait := v.late(); wait > 0 {
			time.AfterFunc(wait, func() { v.fakeNamespace.swap(old, with) })
			return "", errNotConnected
		}
	}
	err = v.call(ctx, func() { raw = v.fakeNamespace.swap(old, with) })
	return raw, err
}

func (v *view) empty(ctx context.Context) (empty bool, err error) {
	err = v.call(ctx, func() {
		v.fakeNamespace.mu.Lock()
		defer v.fakeNamespace.mu.Unlock()
		empty = !v.used && len(v.entries) == 0
	})
	return empty, err
}

func (v *view) wipe(ctx context.Context) error {
	return v.call(ctx, func() { v.fakeNamespace.mu.Lock(); clear(v.entries); v.wipes++; v.fakeNamespace.mu.Unlock() })
}

// node is an agreement that is checked in the background.
type node struct {
	*agreement
	view *view
	log  *strings.Builder
	stop func()
}

func newNode(b *fakeNamespace, lanes int, delay func() time.Duration) *node {
	return newNodeWithLag(&view{fakeNamespace: b, delay: delay}, lanes, 0)
}

func newNodeWithLag(v *view, lanes int, declared time.Duration) *node {
	n := &node{view: v, log: &strings.Builder{}}
	n.agreement = newAgreement(n.view, "n", lanes, slog.New(slog.NewTextHandler(n.log, nil)))
	n.declared = declared
	life, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); n.watch(life, 0) }()
	n.stop = func() { cancel(); <-ended } // also twice
	return n
}

// active reports whether the node would serve a hit now, without waiting.
func (n *node) active() bool { return time.Since(n.base) < time.Duration(n.until.Load()) }

func newFakeNamespace() *fakeNamespace { return &fakeNamespace{entries: map[int]bool{}} }
