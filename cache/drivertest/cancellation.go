package drivertest

import (
	"context"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// prompt is how soon an operation returns after its context has ended. It is far more than that
// takes, because the machine may be busy.
const prompt = 2 * time.Second

// cancellation tells whether the strategy listens to contexts. It need not: the Service gives up an
// operation whose time is up. But an author should know, and a driver.Cancellable promises it.
var cancellation = []check{
	{"EndedContext", func(s *subject) {
		ended, cancel := context.WithCancel(s.ctx)
		cancel()
		deaf, late := s.timed(ended, s.everyOperation())
		if len(late) > 0 {
			s.Errorf("%T goes on although its ctx has ended: %s took longer than %v. Hand ctx to the storage's client, or end the wait with ctx",
				s.strategy, strings.Join(late, ", "), s.prompt())
		}
		if len(deaf) > 0 && !s.features.Immediate && !s.features.Cancellable {
			s.Skipf("%T does not listen to ctx: with one that had ended, %s succeeded. The Service copes: it runs each operation in a goroutine of "+
				"its own, and gives it up when its time is up. If nothing here ever waits, say so with driver.Local. If the client does listen, "+
				"return ctx.Err() at the start, prove it with Stall, and say so with driver.Cancellable", s.strategy, strings.Join(deaf, ", "))
		}
	}},
	{"StalledStorage", func(s *subject) {
		if s.stall == nil {
			s.Skip("the option Stall is not given")
		}
		operations := s.everyOperation()
		resume := s.stall(s, s.strategy)
		defer resume()
		_, late := s.timed(s.ctx, operations)
		switch {
		case len(late) > 0 && s.features.Cancellable:
			s.Errorf("%T is driver.Cancellable, and %s took longer than %v on a storage that hangs", s.strategy, strings.Join(late, ", "), s.prompt())
		case len(late) > 0:
			s.Skipf("%T does not listen to ctx: on a storage that hangs, %s took longer than %v. The Service copes, as with any strategy "+
				"that is not driver.Cancellable", s.strategy, strings.Join(late, ", "), s.prompt())
		case !s.features.Cancellable:
			s.Log("every operation ended with its ctx: add the marker driver.Cancellable, and the Service needs no goroutine for each operation")
		}
	}},
}

func (s *subject) prompt() time.Duration { return min(s.patience, prompt) }

// timed calls each operation, with ctx or for as long as a Service of default options would. late
// are those that did not return promptly after that, deaf those that succeeded.
func (s *subject) timed(ctx context.Context, operations []named) (deaf, late []string) {
	s.Helper()
	for _, o := range operations {
		bounded, cancel := context.WithTimeout(ctx, s.options.WithDefaults().Timeout)
		returned := make(chan error, 1)
		go func() { returned <- o.call(bounded) }()
		<-bounded.Done()
		deadline := time.NewTimer(s.prompt())
		select {
		case err := <-returned:
			if err == nil {
				deaf = append(deaf, o.name)
			}
		case <-deadline.C:
			late = append(late, o.name)
		}
		deadline.Stop()
		cancel()
	}
	return deaf, late
}

// named is one operation of the contract.
type named struct {
	name string
	call func(ctx context.Context) error
}

// everyOperation are those of the Strategy and of its optional parts.
func (s *subject) everyOperation() []named {
	key, tags, f := s.physical("key"), s.physicals([]string{"tag"}), s.features
	value, opts := []byte("v"), s.opts(time.Minute, "tag")
	operations := []named{
		{"Get", func(ctx context.Context) error { _, _, err := s.strategy.Get(ctx, key); return err }},
		{"Set", func(ctx context.Context) error { return s.strategy.Set(ctx, key, value, opts) }},
		{"Delete", func(ctx context.Context) error { return s.strategy.Delete(ctx, key) }},
		{"InvalidateTags", func(ctx context.Context) error { return s.strategy.InvalidateTags(ctx, tags...) }},
	}
	if l := f.Leaser; l != nil {
		lease, err := l.Lease(s.ctx, s.physical("leased"))
		if err != nil {
			s.Fatalf("Lease: %v", err)
		}
		if lease == nil {
			lease = &driver.Lease{Key: s.physical("leased")} // the storage keeps nothing
		}
		operations = append(operations,
			named{"GetOrLease", func(ctx context.Context) error { _, _, _, err := l.GetOrLease(ctx, key); return err }},
			named{"Lease", func(ctx context.Context) error { _, err := l.Lease(ctx, key); return err }},
			named{"Fill", func(ctx context.Context) error { _, err := l.Fill(ctx, lease, value, opts); return err }},
			named{"Release", func(ctx context.Context) error { return l.Release(ctx, lease) }})
	}
	if b := f.BatchLeaser; b != nil {
		operations = append(operations, everyBatchOperation(b, key, s.physical("released"), value, opts)...)
	}
	if h := f.Hinted; h != nil {
		operations = append(operations, named{"GetHinted", func(ctx context.Context) error { _, _, err := h.GetHinted(ctx, key, tags); return err }})
	}
	if b := f.Batcher; b != nil {
		operations = append(operations,
			named{"GetMany", func(ctx context.Context) error { return b.GetMany(ctx, []string{key}, tags)[0].Err }},
			named{"SetMany", func(ctx context.Context) error {
				return b.SetMany(ctx, []driver.Item{{Key: key, Value: value, Options: opts}})[0]
			}})
	}
	if c := f.Clearer; c != nil {
		operations = append(operations, named{"Clear", c.Clear})
	}
	return operations
}

// everyBatchOperation are those of a BatchLeaser.
func everyBatchOperation(b driver.BatchLeaser, key, released string, value []byte, opts driver.SetOptions) []named {
	lease := &driver.Lease{Key: released} // nobody's
	return []named{
		{"GetOrLeaseMany", func(ctx context.Context) error { return b.GetOrLeaseMany(ctx, []string{key})[0].Err }},
		{"LeaseMany", func(ctx context.Context) error { return b.LeaseMany(ctx, []string{key})[0].Err }},
		{"FillMany", func(ctx context.Context) error {
			return b.FillMany(ctx, []driver.Fill{{Lease: lease, Value: value, Options: opts}})[0].Err
		}},
		{"ReleaseMany", func(ctx context.Context) error { return b.ReleaseMany(ctx, []*driver.Lease{lease})[0] }},
	}
}
