package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// In an empty namespace a node starts at once, in one with entries after two intervals and when it
// has deleted them; those of the same lanes join it.
func TestFingerprintIsMade(t *testing.T) {
	t.Parallel()
	for _, used := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b, began := newFakeNamespace(), time.Now()
			if used {
				b.put(1)
				b.put(4)
			}
			first, second := newNode(b, 4, nil), newNode(b, 4, nil)
			defer first.stop()
			defer second.stop()
			synctest.Wait()
			if first.active() == used || second.active() == used {
				t.Fatalf("used %v: active %v, %v", used, first.active(), second.active())
			}
			if !used {
				return
			}
			if err := first.holds(t.Context(), time.Now()); !errors.Is(err, errUnsettled) {
				t.Errorf("holds = %v", err)
			}
			<-time.After(pause - time.Millisecond)
			if first.active() || second.active() || b.left(0) == 0 {
				t.Error("active before two intervals are over")
			}
			for !first.active() || !second.active() {
				<-time.After(100 * time.Millisecond)
				if time.Since(began) > pause+3*nextCheck {
					t.Fatal("never active")
				}
				if (first.active() || second.active()) && b.left(0) > 0 {
					t.Fatal("active before the entries of others are gone")
				}
			}
		})
	}
}

// A node that differs is told so, with both values, once; it is active as soon as the others are
// gone and their fingerprint with them.
func TestFingerprintDiffers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFakeNamespace()
		first := newNode(b, 4, nil)
		defer first.stop()
		synctest.Wait()
		b.put(4)
		second := newNode(b, 1, nil)
		defer second.stop()
		<-time.After(time.Minute)
		var different *disagreement
		if err := second.holds(t.Context(), time.Now()); !errors.As(err, &different) || !errors.Is(err, driver.ErrUnavailable) || second.differs() == nil {
			t.Errorf("holds = %v", err)
		}
		if text := second.log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "lanes=1") || !strings.Contains(text, `"lanes of the others"=4`) {
			t.Errorf("logged: %s", text)
		}
		if !first.active() || first.log.Len() > 0 {
			t.Errorf("the first: active %v, logged %s", first.active(), first.log)
		}
		b.write("") // the first puts it back
		<-time.After(checkEvery)
		if !first.active() || second.active() || b.wiped() > 0 {
			t.Errorf("after the fingerprint was lost: active %v, %v", first.active(), second.active())
		}
		<-time.After(nextCheck / 2) // not when the first looks: it would put it back at once
		b.mu.Lock()
		b.raw = "" // all is lost, and nobody of the first's has come yet to put it back
		clear(b.entries)
		b.mu.Unlock()
		for range checkEvery / nextCheck {
			<-time.After(nextCheck)
			if !first.active() || second.active() {
				t.Fatalf("after all was lost: active %v, %v", first.active(), second.active())
			}
		}
		b.put(4)
		first.stop()
		b.write("")
		<-time.After(pause + 3*nextCheck)
		if !second.active() || b.wiped() == 0 || !strings.Contains(second.log.String(), "the nodes agree") {
			t.Errorf("when the first was gone: active %v, %d wipes, %s", second.active(), b.wiped(), second.log)
		}
	})
}

// A fingerprint that is lost, damaged, or made anew by a node that has just started, is put back by
// one that is active, at no cost; fields of a later release stay.
func TestFingerprintIsPutBack(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"lost": "", "damaged": "\x00", "no JSON object": `"x"`, "no lanes": `{"format":3,"id":"x","settled":true}`,
		"unsettled":          `{"format":3,"lanes":4,"id":"x"}`,
		"unsettled, differs": `{"format":3,"lanes":1,"id":"x"}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newFakeNamespace()
			b.put(4)
			was := `{"format":3,"lanes":4,"id":"abc","settled":true,"what":"else"}`
			b.write(was)
			first := newNode(b, 4, nil)
			defer first.stop()
			synctest.Wait()
			b.write(damage)
			second := newNode(b, 4, nil)
			defer second.stop()
			for range 10 * checkEvery / nextCheck {
				<-time.After(nextCheck)
				if !first.active() {
					t.Fatalf("%s: not active", name)
				}
			}
			if b.text() != was || !second.active() || second.agreed.Load().ID != "abc" || b.wiped() > 0 {
				t.Errorf("%s: %s, the second is active: %v, %d wipes", name, b.text(), second.active(), b.wiped())
			}
		})
	}
}

// An unknown format is a difference, and unknown fields are kept by whoever settles it.
func TestFingerprintOfLaterReleases(t *testing.T) {
	t.Parallel()
	if f, ok := parse(`{"format":4,"lanes":4,"id":"x","settled":true,"what":{}}`); !ok || f.agrees(fingerprint{Format: format, Lanes: 4}) {
		t.Errorf("%+v, %v", f, ok)
	}
	const later = `{"format":3,"lanes":4,"id":"x","settled":false,"what":{"n":1e3}}`
	if got := edited(later, map[string]any{"settled": true}); got != `{"format":3,"id":"x","lanes":4,"settled":true,"what":{"n":1e3}}` {
		t.Errorf("settled: %s", got)
	}
	var option *driver.OptionError
	if err := (&disagreement{"n", fingerprint{Format: 1, Lanes: 1}, fingerprint{Format: 2, Lanes: 1}}).startError(); errors.As(err, &option) || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("%v", err)
	}
}

// A node that cannot read the fingerprint is no longer active when others may have settled another
// one, and reads it before it is active again.
func TestFingerprintLapses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFakeNamespace()
		n := newNode(b, 4, nil)
		defer n.stop()
		synctest.Wait()
		n.view.set(true)
		<-time.After(pause)
		if n.active() {
			t.Error("active without having read it for two intervals")
		}
		if err := n.holds(t.Context(), time.Now()); !errors.Is(err, errUnverified) {
			t.Errorf("holds = %v", err)
		}
		b.write(strings.Replace(b.text(), `"lanes":4`, `"lanes":5`, 1))
		n.view.set(false)
		<-time.After(3 * time.Second)
		if n.differs() == nil {
			t.Errorf("it does not see that the others differ now: %s", b.text())
		}
	})
}

// Nobody waits for a fingerprint that is not read any more.
func TestFingerprintAfterTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(newFakeNamespace(), 4, nil)
		n.view.set(true)
		held := make(chan error, 1)
		go func() { held <- n.holds(context.Background(), time.Now()) }()
		synctest.Wait()
		n.stop()
		for range 2 {
			if err := <-held; !errors.Is(err, driver.ErrClosed) {
				t.Errorf("holds = %v, want ErrClosed", err)
			}
			held <- n.holds(context.Background(), time.Now())
		}
	})
}

// A connection that was made anew counts for nothing before the fingerprint was read on it, also
// where that was under way.
func TestFingerprintOfANewConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFakeNamespace()
		var slow atomic.Int64
		n := newNode(b, 4, func() time.Duration { return time.Duration(slow.Load()) })
		defer n.stop()
		synctest.Wait()
		slow.Store(int64(100 * time.Millisecond))
		n.recheck()
		if n.active() {
			t.Error("active on a connection that nobody has looked at")
		}
		<-time.After(150 * time.Millisecond) // the answer is on its way
		n.recheck()
		<-time.After(60 * time.Millisecond)
		if n.active() {
			t.Error("what was read on the old connection counts on the new one")
		}
		began := time.Now()
		if err := n.holds(t.Context(), began); err != nil || time.Since(began) > 200*time.Millisecond {
			t.Errorf("holds = %v after %v", err, time.Since(began))
		}
	})
}

// Random histories of nodes with two layouts, whose fingerprint is lost now and then, and which are
// cut off and slow: never are two active that differ, and none that comes to be active finds
// entries that it has not followed since they were made.
func TestFingerprintSchedules(t *testing.T) {
	t.Parallel()
	flips, starts := 0, 0
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			b := newFakeNamespace()
			b.put(9)
			b.used = true // see docs/redis.md for what an empty namespace leaves open
			delay := func() time.Duration { return rand.N(400 * time.Millisecond) }
			nodes := make([]*node, 4)
			lanes := []int{1, 4, 1, 4}
			for i := range nodes {
				nodes[i] = newNode(b, lanes[i], delay)
			}
			defer func() {
				for _, n := range nodes {
					n.stop()
				}
			}()
			last := 0 // the layout that was active last
			until := time.Now().Add(5 * time.Minute)
			for time.Now().Before(until) {
				switch i := random.IntN(len(nodes)); random.IntN(20) {
				case 0:
					b.write("")
				case 1:
					nodes[i].view.set(true)
				case 2, 3, 4:
					nodes[i].view.set(false)
				case 5:
					nodes[i].recheck()
				case 6:
					nodes[i].stop()
					nodes[i] = newNode(b, lanes[i], delay)
					starts++
				}
				<-time.After(time.Duration(random.IntN(1500)) * time.Millisecond)
				active := 0
				for i, n := range nodes {
					if !n.active() {
						continue
					}
					if active != 0 && active != lanes[i] {
						t.Fatalf("seed %d: active with %d lanes and with %d", seed, active, lanes[i])
					}
					active = lanes[i]
				}
				if active != 0 && active != last {
					if last != 0 {
						flips++
					}
					if b.left(0) > 0 { // also of its own layout, from before the other one's time
						t.Errorf("seed %d: what was left is still there", seed)
					}
					last = active
				}
				if active != 0 {
					b.put(active)
				}
			}
		})
	}
	if flips < 10 || starts < 100 {
		t.Errorf("%d changes of the layout in use, %d starts: the test proves nothing", flips, starts)
	}
	t.Log(fmt.Sprint(flips, " changes of the layout in use"))
}
