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
	g.depart(next)
	if f := all[0].Flight; f.batch != &f.alone {
		g.cancelUnwanted(f)
	}
	g.mu.Unlock()
	for i := range all {
		g.encode(&all[i]) // all of them before anybody has a value, and may change it
	}
	for i := range all {
		deliver(&all[i])
	}
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

func deliver[T any](s *Settled[T]) {
	for i, c := range s.receivers {
		switch {
		case i == 0 && (s.Err == nil || s.Err == ErrLoadAlone): //nolint:errorlint // never wrapped
			c.result <- result[T]{index: c.index, value: s.Value}
		case s.Err != nil:
			c.result <- result[T]{index: c.index, err: s.Err}
		default:
			c.result <- result[T]{index: c.index, encoded: bytes.Clone(s.encoded)}
		}
	}
}

// present returns those of callers that still wait.
func present[T any](callers []*caller[T]) []*caller[T] {
	var here []*caller[T]
	for _, c := range callers {
		if !c.left {
			here = append(here, c)
		}
	}
	return here
}
