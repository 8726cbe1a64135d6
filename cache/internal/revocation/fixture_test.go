package revocation_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/revocation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	longest = time.Hour
	limit   = 4
	here    = "redis/app/here" // how a row names the fixture's storage
)

var (
	errStorage = errors.New("the storage is down")
	errOutbox  = errors.New("the outbox is down")
)

// fixture is a queue between an Apply and an outbox that do what a test says.
type fixture struct {
	*revocation.Queue
	outbox *fakeOutbox
	t      *testing.T

	// Set before the first Add.
	stopped bool                             // Start refuses
	refuse  func(revocation.Revocation) bool // a part of the revocations
	during  func()                           // called by Apply
	ctx     context.Context
	stop    context.CancelFunc

	mu       sync.Mutex
	failure  error                     // of Apply
	calls    [][]revocation.Revocation // of Apply
	warnings int
}

// fakeOutbox keeps its rows in memory.
type fakeOutbox struct {
	mu     sync.Mutex
	rows   []revocation.Revocation
	broken func() error // nil if it works
}

var _ revocation.Outbox = (*fakeOutbox)(nil)

// shared is a storage with an id.
type shared string

func (s shared) StorageID() string { return string(s) }

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, outbox: &fakeOutbox{}}
	f.start(t)
	f.Queue = revocation.New(revocation.Options{
		Limit: limit, Longest: longest, Patience: time.Second, Clock: driver.SystemClock{},
		Storage: revocation.StorageOf(driver.Features{Shared: shared("here")}, "", "redis", "app:"),
		Apply:   f.apply,
		Refused: func(error) bool { return false },
		Start: func(work func(context.Context)) bool {
			if f.stopped || f.ctx.Err() != nil {
				return false
			}
			go work(f.ctx)
			return true
		},
		Warn: func(context.Context, string, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.warnings++
		},
	})
	if _, err := revocation.Restore(t.Context(), f.outbox, f.Queue); err != nil {
		t.Fatal(err)
	}
	return f
}

// start begins a life of the process; stop ends it.
func (f *fixture) start(t *testing.T) {
	f.ctx, f.stop = context.WithCancel(context.Background())
	t.Cleanup(f.stop)
}

func (f *fixture) apply(_ context.Context, revocations []revocation.Revocation) error {
	if f.during != nil {
		f.during()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, sorted(revocations))
	if f.refuse != nil && slices.ContainsFunc(revocations, f.refuse) {
		return errStorage
	}
	return f.failure
}

// fail has Apply return err from now on, and forgets the calls so far.
func (f *fixture) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failure, f.calls = err, nil
}

// seen returns how often Apply and Warn were called.
func (f *fixture) seen() (attempts, warnings int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls), f.warnings
}

func (f *fixture) add(revocations ...revocation.Revocation) {
	f.t.Helper()
	if _, err := f.Add(f.t.Context(), f.NewCall(), revocations, longest); err != nil {
		f.t.Fatal(err)
	}
}

// settle lets the background do what it can do now.
func (f *fixture) settle() {
	<-time.After(time.Second)
	synctest.Wait()
}

func (f *fixture) wantCalls(want ...[]revocation.Revocation) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.EqualFunc(f.calls, want, slices.Equal[[]revocation.Revocation]) {
		f.t.Errorf("Apply was called with %v, want %v", f.calls, want)
	}
}

func (f *fixture) wantRows(want ...revocation.Revocation) {
	f.t.Helper()
	if got := f.outbox.has(); !slices.Equal(got, sorted(want)) {
		f.t.Errorf("the outbox has %v, want %v", got, want)
	}
}

// Add implements revocation.Outbox.
func (o *fakeOutbox) Add(_ context.Context, rows []revocation.Revocation) error {
	return o.unlessBroken(func() { o.rows = append(o.rows, rows...) })
}

// Remove implements revocation.Outbox.
func (o *fakeOutbox) Remove(_ context.Context, rows []revocation.Revocation) error {
	return o.unlessBroken(func() {
		o.rows = slices.DeleteFunc(o.rows, func(row revocation.Revocation) bool { return slices.Contains(rows, row) })
	})
}

// Pending implements revocation.Outbox.
func (o *fakeOutbox) Pending(context.Context) (rows []revocation.Revocation, err error) {
	err = o.unlessBroken(func() { rows = slices.Clone(o.rows) })
	return rows, err
}

// breaks has every method return what broken returns, from now on.
func (o *fakeOutbox) breaks(broken func() error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.broken = broken
}

func (o *fakeOutbox) has() []revocation.Revocation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return sorted(o.rows)
}

func (o *fakeOutbox) unlessBroken(do func()) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken != nil {
		return o.broken()
	}
	do()
	return nil
}

func key(name string) revocation.Revocation { return revocation.Revocation{Key: name} }
func tag(name string) revocation.Revocation { return revocation.Revocation{Tag: name} }

func hasPrefix(err error, prefix string) bool {
	return err != nil && strings.HasPrefix(err.Error(), prefix)
}
