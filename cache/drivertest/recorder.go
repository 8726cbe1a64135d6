package drivertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// The names of the operations that a Recorder sees.
const (
	OpGet        = "get"
	OpSet        = "set"
	OpDelete     = "delete"
	OpInvalidate = "invalidate"
	OpGetOrLease = "get_or_lease"
	OpLease      = "lease"
	OpExtend     = "extend"
	OpFill       = "fill"
	OpRelease    = "release"
	OpNotify     = "notify"
	OpClear      = "clear"
	OpGetMany    = "get_many"
	OpSetMany    = "set_many"

	OpGetOrLeaseMany = "get_or_lease_many"
	OpLeaseMany      = "lease_many"
	OpExtendMany     = "extend_many"
	OpFillMany       = "fill_many"
	OpReleaseMany    = "release_many"
)

// Operation is one call that a Recorder saw.
type Operation struct {
	// Name is one of the constants above.
	Name string
	// Keys are the keys of the call. A Fill or Release has the key of its lease.
	Keys []string
	// Tags are the tags of the call.
	Tags []string
	// TTL is the TTL of a Set or Fill. It is zero for a SetMany and a FillMany, whose items have
	// their own TTLs and tags.
	TTL time.Duration
	// Err is what the call returned. It is nil while the call is still running.
	Err error
}

// Recorder sees every operation on a strategy, and can fail, delay and block operations. It is safe
// for concurrent use. It waits with timers and channels, so it works in a synctest bubble. [Record]
// makes one.
type Recorder struct {
	mu         sync.Mutex
	operations []Operation
	epoch      int // counts Resets; a call that began before a Reset must not write after it
	faults     map[string]*faults
}

// faults holds what is planned for the next operations of one name.
type faults struct {
	failures []error
	delays   []time.Duration
	blocks   []chan struct{}
	before   func(ctx context.Context, key string)
}

// Record returns a strategy that does what inner does, and the Recorder that watches it. The
// strategy has all the optional parts of inner, which driver.FeaturesOf finds. There is one
// difference: the Service gives its operations a deadline even if inner is driver.Local.
func Record(inner driver.Strategy) (driver.Strategy, *Recorder) {
	r := &Recorder{faults: make(map[string]*faults)}
	return &recorded{r, inner, driver.FeaturesOf(inner)}, r
}

// Operations returns the operations since the last Reset, in the order in which they began. The
// slice is a copy.
func (r *Recorder) Operations() []Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	operations := slices.Clone(r.operations)
	for i, o := range operations {
		operations[i].Keys, operations[i].Tags = slices.Clone(o.Keys), slices.Clone(o.Tags)
	}
	return operations
}

// Count returns how many operations of one name began since the last Reset, including those that
// failed.
func (r *Recorder) Count(name string) int {
	mustKnow(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, o := range r.operations {
		if o.Name == name {
			n++
		}
	}
	return n
}

// Reset forgets the operations. What FailNext, DelayNext, Block and Before have planned stays.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.operations = nil
	r.epoch++
}

// FailNext makes each of the next n operations of one name return err instead of being performed.
func (r *Recorder) FailNext(name string, n int, err error) {
	r.plan(name, func(f *faults) { f.failures = append(f.failures, slices.Repeat([]error{err}, n)...) })
}

// DelayNext makes each of the next n operations of one name wait for d before it is performed. If
// its context ends while it waits, it returns the context's error at once, and is never performed.
func (r *Recorder) DelayNext(name string, n int, d time.Duration) {
	r.plan(name, func(f *faults) { f.delays = append(f.delays, slices.Repeat([]time.Duration{d}, n)...) })
}

// Block makes all operations of one name wait, before they are performed, until release is called.
// If the context of one ends while it waits, it returns the context's error at once, and is never
// performed. Calling release again does nothing.
func (r *Recorder) Block(name string) (release func()) {
	gate := make(chan struct{})
	r.plan(name, func(f *faults) { f.blocks = append(f.blocks, gate) })
	return sync.OnceFunc(func() {
		r.plan(name, func(f *faults) {
			f.blocks = slices.DeleteFunc(f.blocks, func(c chan struct{}) bool { return c == gate })
		})
		close(gate)
	})
}

// Before makes every operation of one name call hook first, in the caller's goroutine. key is the
// operation's first key, or for an invalidation its first tag, or empty. hook may wait, which holds
// the operation at a known point, and it may use the strategy. A nil hook removes the previous one.
func (r *Recorder) Before(name string, hook func(ctx context.Context, key string)) {
	r.plan(name, func(f *faults) { f.before = hook })
}

func (r *Recorder) plan(name string, change func(f *faults)) {
	mustKnow(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.faults[name]
	if f == nil {
		f = new(faults)
		r.faults[name] = f
	}
	change(f)
}

// mustKnow panics if name is unknown. A test that waits for a misspelt operation would prove
// nothing.
func mustKnow(name string) {
	switch name {
	case OpGet, OpSet, OpDelete, OpInvalidate, OpGetOrLease, OpLease, OpExtend, OpFill, OpRelease, OpNotify, OpClear, OpGetMany, OpSetMany,
		OpGetOrLeaseMany, OpLeaseMany, OpExtendMany, OpFillMany, OpReleaseMany:
	default:
		panic(fmt.Sprintf("drivertest: there is no operation %q", name))
	}
}

// do records o and performs it, unless a fault or the end of ctx prevents that.
func (r *Recorder) do(ctx context.Context, o Operation, perform func() error) (err error) {
	r.mu.Lock()
	o.Keys, o.Tags = slices.Clone(o.Keys), slices.Clone(o.Tags)
	index, epoch := len(r.operations), r.epoch
	r.operations = append(r.operations, o)
	var plan faults
	if f := r.faults[o.Name]; f != nil {
		plan = faults{failures: take(&f.failures), delays: take(&f.delays), blocks: slices.Clone(f.blocks), before: f.before}
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.epoch == epoch {
			r.operations[index].Err = err
		}
	}()
	if plan.before != nil {
		plan.before(ctx, first(o))
	}
	for _, gate := range plan.blocks {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, d := range plan.delays {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if len(plan.failures) > 0 {
		return plan.failures[0]
	}
	return perform()
}

// take removes at most one element from the front of queue.
func take[T any](queue *[]T) []T {
	n := min(1, len(*queue))
	taken := slices.Clone((*queue)[:n])
	*queue = (*queue)[n:]
	return taken
}

func first(o Operation) string {
	if names := slices.Concat(o.Keys, o.Tags); len(names) > 0 {
		return names[0]
	}
	return ""
}
