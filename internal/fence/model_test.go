package fence_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/fence"
)

// model is a naive Fence. It keeps every event and checks them one by one.
type model struct {
	events []event
	leases map[uint64]*grant // by key
	now    time.Duration
}

// event is an invalidation of tag, or of everything.
type event struct {
	tag uint64
	all bool
}

type grant struct {
	sequence uint64
	at       int // how many events came before
	expires  time.Duration
}

// good reports whether nothing concerned tags since the first at events.
func (m *model) good(at int, tags []uint64) bool {
	return !slices.ContainsFunc(m.events[at:], func(e event) bool { return e.all || slices.Contains(tags, e.tag) })
}

func (m *model) live(g *grant) bool {
	return g != nil && m.now < g.expires &&
		!slices.ContainsFunc(m.events[g.at:], func(e event) bool { return e.all })
}

// stored is an entry as a strategy would keep it, with the time at which the model says that it was
// read.
type stored struct {
	sequence uint64
	tags     []uint64
	at       int
}

// Random operations, one after another. An entry or Fill that the Fence accepts must be accepted by
// the model. If nothing was forgotten, the reverse holds too.
func TestModel(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		maxTags, maxLeases int
		tags               uint64
		exact              bool
	}{
		"exact":     {maxTags: 1 << 12, maxLeases: 1 << 16, tags: 12, exact: true},
		"forgetful": {maxTags: 16, maxLeases: fence.StripeCount, tags: 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 0))
			for range 20 {
				runModel(t, random, test.maxTags, test.maxLeases, test.tags, test.exact)
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

func runModel(t *testing.T, random *rand.Rand, maxTags, maxLeases int, tagCount uint64, exact bool) {
	f, advance := newFence(maxTags, maxLeases)
	m := &model{leases: map[uint64]*grant{}}
	var entries []stored
	// Keys of one stripe, so that leases give way to each other.
	randomKey := func() uint64 { return random.Uint64N(4) * fence.StripeCount }
	randomTags := func() (tags []uint64) {
		for range random.IntN(4) {
			tags = append(tags, random.Uint64N(tagCount))
		}
		return tags
	}
	agree := func(what string, got, want bool) {
		if got && !want || exact && got != want {
			t.Errorf("%s: the Fence says %t, the model %t", what, got, want)
		}
	}
	for range 400 {
		switch key := randomKey(); random.IntN(12) {
		case 0, 1, 2:
			entries = append(entries, stored{f.Sequence(), randomTags(), len(m.events)})
		case 3, 4, 5:
			tags := randomTags()
			for _, tag := range tags {
				m.events = append(m.events, event{tag: tag})
			}
			f.Finish(f.Begin(), tags...)
		case 6:
			if random.IntN(10) == 0 {
				m.events = append(m.events, event{all: true})
				f.Clear()
			}
		case 7:
			delete(m.leases, key)
			_ = f.Update(key, nothing)
		case 8:
			sequence, ok := f.Lease(key)
			if exact && ok == m.live(m.leases[key]) {
				t.Errorf("Lease: granted %t, want %t", ok, !ok)
			}
			if ok {
				m.leases[key] = &grant{sequence, len(m.events), m.now + leaseTTL}
			}
		case 9:
			if held := m.leases[key]; held != nil {
				tags, at := randomTags(), held.at
				ok := fill(t, f, key, held.sequence, tags...)
				agree("Fill", ok, m.live(held) && m.good(at, tags))
				delete(m.leases, key)
				if ok {
					entries = append(entries, stored{held.sequence, tags, at})
				}
			}
		case 10:
			if held := m.leases[key]; held != nil && random.IntN(4) == 0 {
				f.Release(key, held.sequence)
				delete(m.leases, key)
			}
		default:
			d := time.Duration(random.IntN(int(leaseTTL / 8)))
			m.now += d
			advance(d)
		}
		for _, e := range entries {
			agree("Good", f.Good(e.sequence, e.tags...), m.good(e.at, e.tags))
		}
	}
}
