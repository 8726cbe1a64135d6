package redis

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const ms = time.Millisecond

// wantLags checks what the L1s of nodes may use, and what revocations wait for.
func wantLags(t *testing.T, what string, b *fakeNamespace, usable, waits time.Duration, nodes ...*node) {
	t.Helper()
	synctest.Wait()
	for i, n := range nodes {
		allowed := min(n.declared, usable)
		if got := n.lag(); got != allowed {
			t.Errorf("%s: Lag of node %d is %v, want %v; %s", what, i, got, allowed, b.text())
		}
		if got := n.usableLag(b.text()); got != allowed {
			t.Errorf("%s: a heartbeat of node %d may use %v, want %v; %s", what, i, got, allowed, b.text())
		}
		if got := n.propagation(); got != waits {
			t.Errorf("%s: Propagation of node %d is %v, want %v; %s", what, i, got, waits, b.text())
		}
	}
}

// A lag is published at once, and usable when every node has had time to read it. If its node dies
// meanwhile, another one goes on. If it is raised meanwhile, all wait for the higher one.
func TestLagIsRaised(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFakeNamespace()
		start := func(declared time.Duration) *node {
			n := newNodeWithLag(&view{fakeNamespace: b}, 4, declared)
			t.Cleanup(n.stop)
			return n
		}
		plain := start(0)
		wantLags(t, "no L1", b, 0, 0, plain)
		first := start(25 * ms)
		wantLags(t, "raised", b, 0, 25*ms, first)
		<-time.After(checkEvery)
		wantLags(t, "all have read it", b, 0, 25*ms, plain, first)
		first.stop()
		second, fifth := start(25*ms), start(5*ms)
		<-time.After(pause - ms)
		wantLags(t, "before a pause of those that are left", b, 0, 25*ms, plain, second, fifth)
		<-time.After(2*nextCheck + checkEvery)
		wantLags(t, "a pause later", b, 25*ms, 25*ms, plain, second, fifth)
		third := start(50*ms - 1) // in the fingerprint it is a whole number of milliseconds
		<-time.After(pause / 2)
		wantLags(t, "raised again", b, 25*ms, 50*ms, plain, second, third, fifth)
		fourth := start(MaxLag)
		<-time.After(pause - ms)
		wantLags(t, "raised while that is under way", b, 25*ms, MaxLag, plain, second, third, fourth, fifth)
		<-time.After(2*nextCheck + checkEvery)
		wantLags(t, "all is usable", b, MaxLag, MaxLag, plain, second, third, fourth, fifth)
		if was := b.text(); !strings.Contains(was, `"lag_ms":500,`) || !strings.Contains(was, `"usable_ms":500`) {
			t.Error(was)
		}
		for _, n := range []*node{second, third, fourth, fifth} {
			n.stop()
		}
		<-time.After(10 * pause)
		wantLags(t, "nobody has an L1 any more", b, 0, MaxLag, plain)
	})
}

// A raise that was lost and is there again counts from then on, even if its node did not notice:
// some node may have read less meanwhile, and be active still.
func TestLagIsRaisedAnew(t *testing.T) {
	t.Parallel()
	const older = `{"format":3,"lanes":4,"id":"abc","settled":true,"usable_ms":0}`
	for _, putBack := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newFakeNamespace()
			b.put(4)
			b.write(older)
			start := func(declared time.Duration) *node {
				n := newNodeWithLag(&view{fakeNamespace: b}, 4, declared)
				t.Cleanup(n.stop)
				return n
			}
			first, plain := start(25*ms), start(0)
			witness := start(0)
			synctest.Wait()
			witness.recheck() // to read what first has written
			<-time.After(checkEvery + ms)
			b.write(older)
			plain.recheck()
			synctest.Wait()
			if putBack {
				b.write("")
				witness.usableLag("")
			} else {
				start(25 * ms)
			}
			<-time.After(pause - 2*nextCheck)
			wantLags(t, "raised anew", b, 0, 25*ms, first)
			<-time.After(2*nextCheck + checkEvery)
			wantLags(t, "a pause later", b, 25*ms, 25*ms, first, plain, witness)
		})
	}
}

// A node that wants less than others leaves to them what they want.
func TestLagIsNotLowered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFakeNamespace()
		b.write(`{"format":3,"lanes":4,"id":"abc","settled":true,"lag_ms":50}`)
		n := newNodeWithLag(&view{fakeNamespace: b}, 4, 25*ms)
		defer n.stop()
		wantLags(t, "at first", b, 0, 50*ms, n)
		<-time.After(pause + nextCheck)
		wantLags(t, "after a pause", b, 50*ms, 50*ms, n)
	})
}

// A heartbeat allows nothing where the fingerprint is not the one that its node agrees with.
func TestLagOfAHeartbeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFakeNamespace()
		const raw = `{"format":3,"lanes":4,"id":"abc","settled":true,"lag_ms":25,"usable_ms":25}`
		b.write(raw)
		n := newNodeWithLag(&view{fakeNamespace: b}, 4, MaxLag)
		defer n.stop()
		if got := n.usableLag(raw); got != 0 {
			t.Errorf("before the fingerprint was read: %v", got)
		}
		synctest.Wait()
		for text, want := range map[string]time.Duration{
			raw: 25 * ms, strings.Replace(raw, `"usable_ms":25`, `"usable_ms":24`, 1): 24 * ms,
			strings.Replace(raw, `"usable_ms":25`, `"usable_ms":9223372036854775807`, 1): MaxLag,
			strings.Replace(raw, `"usable_ms":25`, `"usable_ms":-1`, 1):                  0,
			strings.Replace(raw, `"usable_ms":25`, `"usable_ms":"25"`, 1):                0,
			strings.Replace(raw, "abc", "abd", 1):                                        0,
			strings.Replace(raw, `"lanes":4`, `"lanes":5`, 1):                            0,
			strings.Replace(raw, `"format":3`, `"format":4`, 1):                          0,
			strings.Replace(raw, "true", "false", 1):                                     0,
			"":                                                                           0,
		} {
			if got := n.usableLag(text); got != want {
				t.Errorf("%s: %v, want %v", text, got, want)
			}
		}
		n.recheck()
		if n.usableLag(raw) != 0 || n.lag() != 0 || n.propagation() != MaxLag {
			t.Errorf("not active: %v, %v, %v", n.usableLag(raw), n.lag(), n.propagation())
		}
	})
}

// What was lost is put back as soon as a heartbeat finds out, and usable again after a pause. What
// a server has forgotten, and what another storage does not know, is heeded while an L1 may go on.
func TestLagIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFakeNamespace()
		b.put(4)
		const older = `{"format":3,"lanes":4,"id":"abc","settled":true}`
		b.write(`{"format":3,"lanes":4,"id":"abc","settled":true,"lag_ms":50,"usable_ms":50}`)
		plain := newNodeWithLag(&view{fakeNamespace: b}, 4, 0)
		defer plain.stop()
		n := newNodeWithLag(&view{fakeNamespace: b}, 4, 25*ms)
		wantLags(t, "before", b, 50*ms, 50*ms, n, plain)
		if plain.recheck(); plain.propagation() != MaxLag {
			t.Errorf("not active: %v", plain.propagation())
		}
		b.write("")
		n.usableLag(b.text())
		wantLags(t, "put back", b, 0, 50*ms, n)
		<-time.After(pause + nextCheck)
		wantLags(t, "a pause later", b, 50*ms, 50*ms, n)
		n.stop()
		b.write(older)
		plain.recheck()
		wantLags(t, "forgotten", b, 0, MaxLag, plain)
		plain.recheck()
		wantLags(t, "read again", b, 0, MaxLag, plain)
		<-time.After(MaxLag)
		wantLags(t, "an L1 may be a little late", b, 0, MaxLag, plain)
		<-time.After(doubt - MaxLag)
		wantLags(t, "every L1 has noticed", b, 0, 0, plain)
		b.write(strings.Replace(older, "abc", "abd", 1))
		plain.recheck()
		wantLags(t, "another storage", b, 0, MaxLag, plain)
	})
}

// A server that refuses the write of a raise, because its memory is full, refuses nothing else.
func TestLagCannotBeRaised(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFakeNamespace()
		b.write(`{"format":3,"lanes":4,"id":"abc","settled":true}`)
		n := newNodeWithLag(&view{fakeNamespace: b, late: func() time.Duration { return time.Hour }}, 4, 25*ms)
		defer n.stop()
		<-time.After(2 * pause)
		if !n.active() || n.lag() != 0 || n.propagation() != 0 || n.log.Len() > 0 {
			t.Errorf("active: %v, lags %v, %v, log %s", n.active(), n.lag(), n.propagation(), n.log)
		}
	})
}

// lagSchedule is one random history of some nodes with L1s, on a storage that loses its fingerprint
// or everything, or comes back with older contents.
type lagSchedule struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	b      *fakeNamespace
	nodes  []*node
	lags   []time.Duration
	known  []time.Time // since when a node has agreed; zero: not yet
	past   []string    // what the storage may go back to
	beats  []beat      // of all L1s, the last ones
	gentle bool        // nothing is lost but the fingerprint alone, and nothing arrives late

	usable, falls int
}

// beat says that an L1 may serve until then, although Redis has revoked something since.
type beat struct{ asked, until time.Time }

func (s *lagSchedule) start(i int) {
	slow := 20 * ms
	if s.random.IntN(4) == 0 {
		slow = 400 * ms
	}
	own := rand.New(rand.NewPCG(s.random.Uint64(), 0))
	v := &view{fakeNamespace: s.b, delay: func() time.Duration { return time.Duration(own.Int64N(int64(slow))) }}
	if !s.gentle {
		v.late = func() time.Duration {
			if own.IntN(8) > 0 {
				return 0
			}
			return time.Duration(own.Int64N(int64(2 * pause)))
		}
	}
	s.nodes[i], s.known[i] = newNodeWithLag(v, 4, s.lags[i]), time.Time{}
}

// step does something, and then looks several times.
func (s *lagSchedule) step() {
	s.look()
	i := s.random.IntN(len(s.nodes))
	n, raw := s.nodes[i], s.b.text()
	if f, ok := parse(raw); ok && f.Settled && (len(s.past) == 0 || s.past[len(s.past)-1] != raw) {
		s.past = append(s.past, raw)
	}
	switch event := s.random.IntN(24); {
	case event < 2:
		s.b.write("")
	case event < 4:
		n.view.set(true)
	case event < 9:
		n.view.set(false)
	case event < 10:
		n.recheck()
	case event < 12:
		n.stop()
		s.start(i)
	case event < 13 && !s.gentle: // FLUSHALL
		s.b.mu.Lock()
		s.b.raw, s.b.used = "", false
		clear(s.b.entries)
		s.b.mu.Unlock()
		s.falls++
	case event < 14 && !s.gentle && len(s.past) > 0: // another server, or the same one after a crash
		at := s.random.IntN(len(s.past))
		s.past = s.past[:at+1]
		s.b.write(s.past[at])
		for _, n := range s.nodes {
			n.recheck()
		}
		s.falls++
	}
	for range 6 {
		<-time.After(time.Duration(s.random.IntN(40)) * ms)
		s.look()
	}
	s.b.use()
	<-time.After(time.Duration(s.random.IntN(5000)) * ms)
}

// look lets every L1 ask once, and checks what every node would wait for now.
func (s *lagSchedule) look() {
	synctest.Wait()
	now, raw := time.Now(), s.b.text()
	highest := time.Duration(0) // of what a node believes to be usable
	for _, n := range s.nodes {
		if lag := n.usableLag(raw); lag > 0 {
			s.beats = append(s.beats, beat{now, now.Add(lag)})
			s.usable++
		}
		highest = max(highest, n.lag())
	}
	left := time.Duration(0) // for how long an L1 may serve what is revoked by now
	kept := s.beats[:0]
	for _, b := range s.beats {
		if b.until.After(now) {
			left, kept = max(left, b.until.Sub(now)), append(kept, b)
		}
	}
	s.beats = kept
	for i, n := range s.nodes {
		if n.agreed.Load() == nil {
			continue
		}
		if s.known[i].IsZero() {
			s.known[i] = now
		}
		if now.Sub(s.known[i]) <= doubt && !s.gentle {
			continue // see docs/redis.md for what a node does not know that has just started
		}
		waits := n.propagation()
		if waits < left {
			s.t.Fatalf("seed %d: node %d waits for %v, and an L1 may serve for %v; %s", s.seed, i, waits, left, raw)
		}
		if s.gentle && n.active() && waits < highest {
			s.t.Fatalf("seed %d: node %d waits for %v, and the Lag of another is %v; %s", s.seed, i, waits, highest, raw)
		}
	}
}

// Random histories: whatever happens to nodes and fingerprint, no revocation is over before every
// L1 has stopped serving what was revoked.
func TestLagSchedules(t *testing.T) {
	t.Parallel()
	const count = 200 // with -count=50 it plays 10,000
	usable, falls := 0, 0
	for range count {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			s := &lagSchedule{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 1)), b: newFakeNamespace(), gentle: seed%3 == 0}
			s.lags = []time.Duration{0, 25 * ms, 50 * ms, MaxLag}[:2+s.random.IntN(3)]
			s.random.Shuffle(len(s.lags), func(i, j int) { s.lags[i], s.lags[j] = s.lags[j], s.lags[i] })
			s.nodes, s.known = make([]*node, len(s.lags)), make([]time.Time, len(s.lags))
			for i := range s.nodes {
				s.start(i)
			}
			<-time.After(time.Second)
			s.b.use()
			defer func() {
				for _, n := range s.nodes {
					n.stop()
				}
			}()
			for until := time.Now().Add(4 * time.Minute); time.Now().Before(until); {
				s.step()
			}
			usable, falls = usable+s.usable, falls+s.falls
		})
	}
	if usable < 100*count || falls < count {
		t.Errorf("%d times an L1 could be used, %d times something was forgotten: the test proves nothing", usable, falls)
	}
	t.Log(fmt.Sprint(usable, " times an L1 could be used; ", falls, " times something was forgotten"))
}
