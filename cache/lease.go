package cache

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/entry"
	"github.com/fxcache/fxcache/cache/internal/failure"
	"github.com/fxcache/fxcache/cache/internal/flight"
	"github.com/fxcache/fxcache/internal/backoff"
)

// The pauses between two looks at a key whose lease somebody else holds. notifiedPause is the
// longest one with a Notifier, and lastPause without one.
const (
	firstPause    = 2 * time.Millisecond
	lastPause     = 50 * time.Millisecond
	notifiedPause = 250 * time.Millisecond
)

// found is what a flight finds before it loads.
type found[T any] struct {
	value T
	found bool
	lease *driver.Lease // nil: what is loaded is not stored
	// stale: there is an entry, but the policy says that it must be loaded again.
	stale bool
	// vacant: there was no entry when the lease was granted, so there is none until the lease ends.
	vacant bool
}

// await returns the lease on a flight's key, or the entry that somebody else has stored meanwhile.
// It returns neither if the strategy fails, or if lock_wait has passed.
func (l *loader[T]) await(ctx context.Context, d *door, f *flight.Flight[T]) (held found[T], err error) {
	ended := l.retry(ctx, d, f.Key, l.store.options().LockWait, func() bool {
		l.flights.Admit(f)
		held, err = l.getOrLease(ctx, d, f)
		return held.found || held.lease != nil || err != nil || f.Unleased
	})
	switch {
	case ended == errPatience: //nolint:errorlint // never wrapped
		l.store.counters.leaseTimeouts.Add(1)
		return held, nil
	case ended != nil:
		return held, ended
	default:
		return held, err
	}
}

// errPatience says that a lease was not granted in time.
var errPatience = errors.New("cache: somebody else holds the lease")

// retry calls try until it reports true, because somebody else holds the lease on a key. The error
// is errPatience after that time, or that of ctx.
func (l *loader[T]) retry(ctx context.Context, d *door, physical string, patience time.Duration, try func() bool) error {
	over := time.NewTimer(patience)
	defer over.Stop()
	waiting, cancel := context.WithCancel(ctx) // ends the notification
	defer cancel()
	var told <-chan struct{}
	for pauses := (backoff.Backoff{First: firstPause, Last: lastPause}); ; {
		if try() {
			return nil
		}
		if told == nil && d.features.Notifier != nil {
			told, pauses.Last = d.notify(waiting, physical), notifiedPause
		}
		next := time.NewTimer(pauses.Next())
		select {
		case <-next.C:
		case <-told:
			next.Stop()
			told = nil
			pauses.Reset()
		case <-over.C:
			next.Stop()
			return errPatience
		case <-ctx.Done():
			next.Stop()
			return ctx.Err()
		}
	}
}

// getOrLease reads the entry once. If there is none, or it is stale, damaged or foreign, getOrLease
// asks for the lease.
func (l *loader[T]) getOrLease(ctx context.Context, d *door, f *flight.Flight[T]) (held found[T], err error) {
	encoded, exists, lease, err := d.getOrLease(ctx, f.Key)
	if err != nil && ctx.Err() != nil { // everybody has left
		return held, ctx.Err()
	}
	if err != nil {
		l.store.logger.warn(ctx, ofReads, "cache: reads fail; loading instead", err)
		f.Unleased = true
		return held, nil
	}
	if !exists {
		held.vacant, held.lease = true, lease
		return held, nil
	}
	if held, _, err = l.weigh(ctx, f.Key, encoded, false); held.found || err != nil {
		return held, err
	}
	held.lease, err = l.lease(ctx, d, f.Key)
	f.Unleased = err != nil
	return held, nil
}

// weigh decides about an entry that a flight has read: it is served, or must be loaded again. If it
// is the first read for its caller, it is counted, and refresh is its stamp if it should be
// refreshed.
func (l *loader[T]) weigh(ctx context.Context, physical string, encoded []byte, first bool) (held found[T], refresh *entry.Stamp, err error) {
	value, e, err := l.values.decode(encoded)
	if err != nil {
		l.store.undecoded(ctx, physical, err)
		return held, nil, nil
	}
	verdict, err := l.values.judge(value, e)
	if err == nil && first && l.values.seen(verdict, e) {
		refresh = &e.Stamp
	}
	switch {
	case err != nil:
		return held, nil, err
	case verdict == serveNothing:
		return held, nil, ErrNotFound
	case verdict != reload:
		held.value, held.found = value, true
	default:
		held.stale = true
	}
	return held, refresh, nil
}

// lease asks for a lease. It is nil if somebody else has it.
func (l *loader[T]) lease(ctx context.Context, d *door, physical string) (*driver.Lease, error) {
	lease, err := d.lease(ctx, physical)
	if err != nil {
		l.store.logger.warn(ctx, ofFills, "cache: no leases; values are not stored", err)
	}
	return lease, err
}

// outcome says what became of a loaded value.
type outcome int

const (
	failed outcome = iota // the strategy failed, or the value cannot be stored
	// something was invalidated since the lease was granted, or the lease has expired
	refused
	stored
)

// fill stores value under the lease of source, and gives the lease up. If the value cannot be
// stored, the entry that it should have replaced is deleted. With vacant there is no such entry,
// and nothing is deleted: a deletion that fails would be pending, and this process would serve no
// hits. took is for encode.
func (l *loader[T]) fill(ctx context.Context, physical string, value T, source *source, took time.Duration, vacant bool) outcome {
	encoded, opts, store, err := l.values.encode(value, source, took)
	if err == nil && store {
		return l.put(ctx, encoded, opts, source, value)
	}
	if vacant {
		source.door.release(ctx, source.lease)
		// deleting ends the lease, if it succeeds
	} else if failure := l.deleteReplaced(ctx, physical); failure != nil {
		err = errors.Join(err, failure)
		source.door.release(ctx, source.lease)
	}
	if err != nil {
		l.unstorable(ctx, source, value, err)
	}
	return failed
}

// fillAbsent stores under the lease of source that the loader found nothing, and gives the lease
// up.
func (l *loader[T]) fillAbsent(ctx context.Context, source *source) outcome {
	encoded, opts, err := l.values.encodeAbsent(source)
	if err != nil {
		source.door.release(ctx, source.lease)
		l.unstorable(ctx, source, nil, err)
		return failed
	}
	return l.put(ctx, encoded, opts, source, nil)
}

// causes is how many causeOf tells apart.
const causes = 5

// causeOf tells apart why a value cannot be stored: each cause is warned about.
func causeOf(err error) int {
	known := [causes - 1]error{ErrEncoding, ErrValueTooLarge, ErrTooManyTags, ErrInvalidKey}
	for cause, target := range known {
		if errors.Is(err, target) {
			return cause
		}
	}
	return len(known)
}

// unstorable counts and names a value that cannot be stored, however healthy the storage is.
func (l *loader[T]) unstorable(ctx context.Context, source *source, value any, err error) {
	if errors.Is(err, errOutlived) {
		l.store.counters.unfilled.Add(1)
	} else {
		l.store.counters.unstorable.Add(1)
	}
	more := []any{"cache", l.name, "took", source.took}
	if value, ok := value.(slog.LogValuer); ok {
		more = append(more, "value", slog.AnyValue(value).Resolve()) // now: its caller may change it
	}
	l.store.logger.warnOnce(ctx, &l.unstored[causeOf(err)], "cache: a loaded value cannot be stored", err, more...)
}

// put stores an entry under the lease of source, and gives the lease up.
func (l *loader[T]) put(ctx context.Context, encoded []byte, opts SetOptions, source *source, value any) outcome {
	ok, err := source.door.fill(ctx, source.lease, encoded, opts)
	how, unused := l.filled(ctx, ok, err, source, value)
	if unused {
		source.door.release(ctx, source.lease)
	}
	return how
}

// filled counts the answer to a fill. unused says that the lease may not have been used up.
func (l *loader[T]) filled(ctx context.Context, ok bool, err error, source *source, value any) (how outcome, unused bool) {
	switch {
	case err != nil && failure.IsRefusal(err): // a limit of the strategy
		l.unstorable(ctx, source, value, err)
		return failed, true
	case err != nil:
		l.store.counters.unfilled.Add(1)
		l.store.logger.warn(ctx, ofFills, "cache: a loaded value could not be stored", err)
		return failed, true
	case !ok:
		l.refused(ctx, source)
		return refused, false
	default:
		l.store.counters.filled.Add(1)
		return stored, false
	}
}

var errLeaseExpired = errors.New("the lease expired: let loads be quicker, or raise lease_ttl")

// refused counts a value that was not stored. Either something was invalidated meanwhile, or its
// lease had expired, about which something can be done.
func (l *loader[T]) refused(ctx context.Context, source *source) {
	if source.revoked || !source.leaseExpired() {
		l.store.counters.refused.Add(1)
		return
	}
	l.store.counters.leaseExpired.Add(1)
	l.store.logger.warnOnce(ctx, &l.slow, "cache: a load outlived its lease; the value is not stored", errLeaseExpired,
		"cache", l.name, "took", source.took, "lease_ttl", source.door.leaseTerm)
}
