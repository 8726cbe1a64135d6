package revocation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fxcache/fxcache/internal/panics"
)

// Outbox is cache.Outbox.
type Outbox interface {
	Add(ctx context.Context, pending []Revocation) error
	Remove(ctx context.Context, applied []Revocation) error
	Pending(ctx context.Context) ([]Revocation, error)
}

// Restore has the queues take over what an earlier process has left in the outbox, which may be
// nil, and try at once to apply it. foreign is how many revocations are for none of their storages;
// they stay.
func Restore(ctx context.Context, outbox Outbox, queues ...*Queue) (foreign int, err error) {
	for _, q := range queues {
		q.mu.Lock()
		q.outbox, q.applied = outbox, nil
		q.mu.Unlock()
	}
	if outbox == nil {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	var rows []Revocation
	if err := call(func() (err error) { rows, err = outbox.Pending(ctx); return err }); err != nil {
		return 0, fmt.Errorf("the outbox cannot be read: %w", err)
	}
	taken := make([]bool, len(rows))
	for _, q := range queues {
		q.take(rows, taken)
	}
	for _, there := range taken {
		if !there {
			foreign++
		}
	}
	failures := make([]error, len(queues))
	var applying sync.WaitGroup
	for i, q := range queues {
		applying.Go(func() { failures[i] = q.applyTaken(ctx) })
	}
	applying.Wait()
	return foreign, errors.Join(failures...)
}

// take takes over those rows that concern this storage, and has the outbox forget those whose time
// is over. It marks both.
func (q *Queue) take(rows []Revocation, taken []bool) {
	now := q.options.Clock.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.items == nil {
		q.items = make(map[Revocation]item)
	}
	for i, row := range rows {
		until := row.Until
		if until.IsZero() {
			until = now.Add(q.limits.longest)
		}
		switch target := row.target(); {
		case !now.Before(until) || q.options.Storage.died(row):
			if !taken[i] {
				q.applied = append(q.applied, row)
			}
		case q.options.Storage.concerns(row):
			q.items[target] = q.items[target].merge(item{until: until, rows: []Revocation{row}})
		default:
			continue
		}
		taken[i] = true
	}
}

// applyTaken tries to apply what take has taken over.
func (q *Queue) applyTaken(ctx context.Context) error {
	q.mu.Lock()
	kept, _, covered := q.keep(0, nil, time.Time{})
	pending := len(q.items) > 0
	q.mu.Unlock()
	if !pending {
		return nil
	}
	if len(kept) > 0 {
		if err := q.writeOutbox(ctx, kept, covered); err != nil {
			return err
		}
	}
	if err := q.applyPatiently(ctx); err != nil {
		q.options.Warn(ctx, "cache: revocations of an earlier run cannot be applied yet; no hits are served until they are", err)
	}
	return nil
}

// writeOutbox has the outbox keep revocations. The rows that they cover go afterwards, in the
// background.
func (q *Queue) writeOutbox(ctx context.Context, revocations, covered []Revocation) error {
	q.mu.Lock()
	outbox := q.outbox
	q.mu.Unlock()
	if outbox == nil {
		return nil
	}
	select {
	case q.writing <- struct{}{}:
		defer func() { <-q.writing }()
	case <-ctx.Done():
		return fmt.Errorf("the outbox cannot keep it: %w", ctx.Err())
	}
	rows := make([]Revocation, len(revocations))
	q.mu.Lock()
	for i, r := range revocations {
		rows[i] = q.options.Storage.row(r, q.items[r].until)
	}
	q.mu.Unlock()
	if err := call(func() error { return outbox.Add(ctx, rows) }); err != nil {
		return fmt.Errorf("the outbox cannot keep it: %w", err)
	}
	q.mu.Lock()
	if q.closed { // the rows stay
		q.mu.Unlock()
		return nil
	}
	q.applied = append(q.applied, covered...)
	for _, row := range rows {
		if old, pending := q.items[row.target()]; pending {
			q.items[row.target()] = old.merge(item{rows: []Revocation{row}})
		} else { // applied meanwhile
			q.applied = append(q.applied, row)
		}
	}
	q.mu.Unlock()
	q.Resume()
	return nil
}

// forgetApplied has the outbox forget what was applied and is not pending again.
func (q *Queue) forgetApplied(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	select {
	case q.writing <- struct{}{}:
		defer func() { <-q.writing }()
	case <-ctx.Done():
		return
	}
	q.mu.Lock()
	applied := slices.DeleteFunc(q.applied, func(row Revocation) bool {
		old, again := q.items[row.target()]
		if again {
			q.items[row.target()] = old.merge(item{rows: []Revocation{row}})
		}
		return again
	})
	q.applied = nil
	outbox := q.outbox
	q.mu.Unlock()
	if outbox == nil || len(applied) == 0 {
		return
	}
	if err := call(func() error { return outbox.Remove(ctx, applied) }); err != nil {
		// They will be applied once more, after the next start.
		q.options.Warn(ctx, "cache: the outbox cannot forget what was applied", err)
	}
}

// call runs a method of the application's outbox.
func call(run func() error) (err error) {
	defer panics.Catch(&err)
	return run()
}
