package flight

import (
	"bytes"
	"context"
	"slices"
)

// Settled is a flight with its result.
type Settled[T any] struct {
	Flight  *Flight[T]
	Value   T
	Sharing Sharing
	Err     error

	receivers []*caller[T]
	encoded   []byte
}

// finish ends flights of one batch. It gives each result to the callers that may have it, and
// starts the next flights for the others.
func (g *Group[T]) finish(ctx context.Context, all []Settled[T]) {
	var next []departure[T]
	g.mu.Lock()
	for i := range all {
		s := &all[i]
		f := s.Flight
		g.detach(f)
		f.finished = true
		f.batch.waiting -= f.waiting
		receivers, others := present(f.admitted), present(f.late)
		switch {
		case s.Sharing == Everybody:
			receivers, others = append(receivers, others...), nil
		case g.concernsOwner(ctx, f, s.Err):
			others = slices.DeleteFunc(append(receivers, others...), func(c *caller[T]) bool { return c == f.owner })
			receivers = present([]*caller[T]{f.owner})
		}
		s.receivers = receivers
		if len(others) > 0 {
			next = append(next, departure[T]{f.Key, f.Unleased, others})
		}
	}
	g.depart(next, false)
	if f := all[0].Flight; f.batch != &f.alone {
		g.cancelUnwanted(f)
	}
	g.mu.Unlock()
	for i := range all {
		g.encode(&all[i]) // all of them before anybody has a value, and may change it
	}
	deliver(all)
}

// encode makes the copies of a value that several callers receive.
func (g *Group[T]) encode(s *Settled[T]) {
	if s.Err != nil || len(s.receivers) < 2 {
		return
	}
	var failure error
	if s.encoded, failure = g.options.Encode(s.Value); failure != nil {
		s.Err = ErrLoadAlone
	}
}

// deliver gives the results to the callers. What a caller of many keys gets in a row, it gets at
// once.
func deliver[T any](all []Settled[T]) {
	var together []result[T]
	var of *manyCall[T]
	send := func() {
		if of != nil {
			of.results <- together
		}
	}
	for i := range all {
		for n, c := range all[i].receivers {
			r := all[i].result(n)
			r.index = c.index
			if c.many == nil {
				c.result <- r
				continue
			}
			if c.many != of {
				send()
				of, together = c.many, nil
				if i == 0 {
					together = make([]result[T], 0, len(all))
				}
			}
			together = append(together, r)
		}
	}
	send()
}

// result is what the receiver at n gets.
func (s *Settled[T]) result(n int) result[T] {
	switch {
	case n == 0 && (s.Err == nil || s.Err == ErrLoadAlone): //nolint:errorlint // never wrapped
		return result[T]{value: s.Value}
	case s.Err != nil:
		return result[T]{err: s.Err}
	default:
		return result[T]{encoded: bytes.Clone(s.encoded)}
	}
}

// present returns those of callers that still wait.
func present[T any](callers []*caller[T]) []*caller[T] {
	left := func(c *caller[T]) bool { return c.left }
	if !slices.ContainsFunc(callers, left) {
		return callers
	}
	return slices.DeleteFunc(slices.Clone(callers), left)
}
