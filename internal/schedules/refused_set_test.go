package schedules_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// Refused set. A value cannot be stored, because it is too large, has too many tags, or is
// forbidden by a policy.
//
// Promise: after a Set, Update or load that could not store, the value which it should have
// replaced is not read either.
//
// Model: the number of the latest Set. A Get may return that value or nothing.
func TestRefusedSet(t *testing.T) {
	t.Parallel()
	for _, storage := range storages {
		t.Run(storage.name, func(t *testing.T) {
			t.Parallel()
			inBubbles(t, "refused-set/"+storage.name, 10_000, func(t *testing.T) func(*schedule) {
				var strategy driver.Strategy = newTable()
				if storage.name == "bigcache" {
					strategy = newBigcache(t)
				}
				service := start(t, strategy, cache.Options{})
				return func(s *schedule) { refusedSet(t, s, service) }
			})
		})
	}
}

// padded is a value with a number.
type padded struct {
	Number  int
	Padding string
	Forbid  bool
	TooMany bool
}

func refusedSet(t *testing.T, s *schedule, service *cache.Service) {
	ctx := context.Background()
	c, err := cache.New(service, "padded", cache.Policy[padded]{
		TTLOf: func(v padded) time.Duration {
			if v.Forbid {
				return -1
			}
			return time.Minute
		},
		TagsOf: func(v padded) []string {
			if v.TooMany {
				return make([]string, 65)
			}
			return nil
		},
	})
	must(t, err)
	a := actor{s, "the application"}
	latest := 0
	for range 8 {
		latest++
		v := padded{Number: latest}
		kind := [...]string{"a good value", "a good value", "one that is too large", "one that is forbidden", "one with too many tags"}[s.random.IntN(5)]
		switch kind {
		case "one that is too large":
			v.Padding = strings.Repeat("x", int(valueLimit))
		case "one that is forbidden":
			v.Forbid = true
		case "one with too many tags":
			v.TooMany = true
		}
		if s.random.IntN(2) == 0 {
			err = c.Set(ctx, s.key(), v)
			a.did("sets %s, %d: %v", kind, latest, err)
		} else {
			_, err = c.Update(ctx, s.key(), func(context.Context) (padded, error) { return v, nil })
			a.did("updates to %s, %d: %v", kind, latest, err)
		}
		got, found, err := c.Get(ctx, s.key())
		if err != nil {
			s.fail("Get: %v", err)
		}
		if !found {
			continue
		}
		s.hits++
		if got.Number != latest {
			s.fail("Get returned value %d, although %d should have replaced it", got.Number, latest)
		}
	}
}
