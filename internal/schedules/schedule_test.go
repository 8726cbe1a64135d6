package schedules_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// repeated is the seed of the one schedule to be run again; 0: all, from a random seed on.
var repeated = flag.Uint64("seed", 0, "run the one schedule of this seed again")

// schedule is one interleaving.
type schedule struct {
	name   string
	number int
	seed   uint64
	random *rand.Rand // belongs to the goroutine that plays the schedule

	mu      sync.Mutex
	parked  []*gate
	actors  int
	steps   []string
	failure string
	hits    int // what was judged
}

func newSchedule(name string, number int, seed uint64) *schedule {
	return &schedule{name: name, number: number, seed: seed, random: rand.New(rand.NewPCG(seed, 0))}
}

// gate is the point at which an actor waits.
type gate struct {
	label string
	open  chan struct{}
}

// key returns a name that no other schedule uses.
func (s *schedule) key() string { return fmt.Sprint(s.name, ":", s.number) }

// actor starts an actor. It begins as soon as the schedule lets it.
func (s *schedule) actor(name string, act func(a actor)) {
	s.mu.Lock()
	s.actors++
	s.mu.Unlock()
	go func() {
		defer func() {
			s.mu.Lock()
			s.actors--
			s.mu.Unlock()
		}()
		a := actor{s, name}
		a.pause("begins")
		act(a)
	}()
}

// actor is one participant in a schedule.
type actor struct {
	*schedule
	name string
}

// pause blocks until the schedule lets the actor continue.
func (a actor) pause(format string, args ...any) {
	g := &gate{a.name + " " + fmt.Sprintf(format, args...), make(chan struct{})}
	a.mu.Lock()
	a.parked = append(a.parked, g)
	a.mu.Unlock()
	<-g.open
}

// did records a step of an actor without a pause.
func (a actor) did(format string, args ...any) { a.log(a.name + " " + fmt.Sprintf(format, args...)) }

func (s *schedule) log(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step)
}

// fail records the first violation.
func (s *schedule) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == "" {
		s.failure = fmt.Sprintf(format, args...)
		s.steps = append(s.steps, "here")
	}
}

// play runs the actors in random order until all are done. From time to time, a part of longest
// passes.
func (s *schedule) play(longest time.Duration) {
	wait := 25 * time.Millisecond
	for synctest.Wait(); ; synctest.Wait() {
		s.mu.Lock()
		actors, parked := s.actors, len(s.parked)
		s.mu.Unlock()
		switch {
		case parked == 0 && actors == 0:
			return
		case parked == 0: // they wait for a lease or a deadline
			<-time.After(wait)
			wait *= 2
			continue
		case s.random.IntN(16) == 0:
			passed := time.Duration(s.random.Int64N(int64(longest)))
			s.log(fmt.Sprint(passed.Round(time.Millisecond), " pass"))
			<-time.After(passed)
		default:
			s.next()
		}
		wait = 25 * time.Millisecond
	}
}

// next lets one of the parked actors continue. They are sorted, because their order of arrival is
// not deterministic.
func (s *schedule) next() {
	s.mu.Lock()
	slices.SortFunc(s.parked, func(a, b *gate) int { return cmp.Compare(a.label, b.label) })
	i := s.random.IntN(len(s.parked))
	g := s.parked[i]
	s.parked = slices.Delete(s.parked, i, i+1)
	s.steps = append(s.steps, g.label)
	s.mu.Unlock()
	close(g.open)
}

// inBubbles plays count schedules of a race, or fewer with the race detector. prepare makes the
// world of some hundred of them; what it returns plays one. Each runs in a bubble of
// testing/synctest.
func inBubbles(t *testing.T, name string, count int, prepare func(t *testing.T) func(s *schedule)) {
	t.Helper()
	const perBubble = 500
	all := newExploration(t, name, count/raced)
	for !all.over() {
		synctest.Test(t, func(t *testing.T) {
			play := prepare(t)
			for range perBubble {
				all.run(t, play)
			}
		})
	}
	all.report(t)
}

// inRealTime is inBubbles for schedules with real servers.
func inRealTime(t *testing.T, name string, count int, play func(s *schedule)) {
	t.Helper()
	all := newExploration(t, name, count)
	for !all.over() {
		all.run(t, play)
	}
	all.report(t)
}

// exploration is a search through the schedules of one race.
type exploration struct {
	name              string
	first             uint64
	number, count     int
	hits              int
	failed, mustJudge bool
}

func newExploration(t *testing.T, name string, count int) *exploration {
	e := &exploration{name: name, count: count, first: rand.Uint64()>>16 + 1, mustJudge: true} // short enough to be typed
	switch {
	case *repeated != 0:
		e.first, e.count, e.mustJudge = *repeated, 1, false
	case testing.Short():
		e.count = max(1, count/10)
	}
	return e
}

func (e *exploration) over() bool { return e.failed || e.number >= e.count }

func (e *exploration) run(t *testing.T, play func(s *schedule)) {
	if e.over() {
		return
	}
	seed := e.first + uint64(e.number)
	s := newSchedule(e.name, e.number, seed)
	play(s)
	e.number++
	e.hits += s.hits
	if s.failure != "" {
		e.failed = true
		t.Errorf("violation: schedule %s #%d (seed %d): %s\nsteps: %s", e.name, e.number, seed, s.failure, strings.Join(s.steps, "; "))
	}
}

func (e *exploration) report(t *testing.T) {
	t.Helper()
	t.Logf("%s: %d schedules from seed %d, %d answers judged", e.name, e.number, e.first, e.hits)
	if e.hits == 0 && e.mustJudge && !e.failed {
		t.Error("nothing was judged: the schedules prove nothing")
	}
}
