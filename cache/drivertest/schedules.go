package drivertest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// heldLoader checks the race that every read-through cache has. A loader reads the database, a
// writer commits and invalidates, and then the loader stores what it has read. The steps of two
// loaders, a writer and a reader are interleaved at random. They run in one goroutine, so that a
// failure can be repeated.
var heldLoader = []check{
	{"RandomSchedules", func(s *subject) {
		stored, seed := 0, s.seed
		for i := range s.count(10_000) {
			run := &schedule{
				subject: s, random: rand.New(rand.NewPCG(seed, 0)),
				key: fmt.Sprint("key", i), static: fmt.Sprint("static", i%64), learned: fmt.Sprint("learned", i%64),
				version: 1, floor: 1,
			}
			for range 14 {
				run.step()
			}
			run.finish()
			stored += run.stored
			if run.failure != "" {
				s.Fatalf("schedule %d, run again with drivertest.Seed(%d): %s\nsteps: %s",
					i, seed, run.failure, strings.Join(run.steps, ", "))
			}
			seed++
		}
		if stored == 0 {
			s.Error("not a single Fill was stored")
		}
	}},
}

// schedule is one interleaving, with the model that says which results are correct.
type schedule struct {
	*subject
	random               *rand.Rand
	key, static, learned string

	version int  // in the database
	floor   int  // the oldest version that may still be read: the last whose invalidation returned
	pending bool // the writer has committed, but not invalidated yet
	loaders [2]loader

	stored  int
	steps   []string
	failure string
}

type loader struct {
	lease   *driver.Lease
	version int // what it read from the database; 0: nothing yet
}

func (r *schedule) step() {
	switch r.random.IntN(5) {
	case 0, 1, 2:
		r.load(r.random.IntN(len(r.loaders)))
	case 3:
		r.write()
	default:
		r.read()
	}
}

// load does the next step of loader i: lease, read from the database, or fill.
func (r *schedule) load(i int) {
	switch l := &r.loaders[i]; {
	case l.lease == nil && r.random.IntN(4) == 0:
		r.log(i, "lease")
		lease, err := r.leaser().Lease(r.ctx, r.physical(r.key))
		if err != nil {
			r.Fatalf("Lease: %v", err)
		}
		l.lease, l.version = lease, 0
	case l.lease == nil:
		r.log(i, "get or lease")
		value, found, lease, err := r.leaser().GetOrLease(r.ctx, r.physical(r.key))
		if err != nil {
			r.Fatalf("GetOrLease: %v", err)
		}
		if found {
			r.checkVersion("GetOrLease", string(value))
		}
		l.lease, l.version = lease, 0
	case l.version == 0:
		r.log(i, "read "+strconv.Itoa(r.version))
		l.version = r.version
	case r.random.IntN(8) == 0:
		r.log(i, "release")
		r.release(l.lease)
		l.lease = nil
	default:
		value := strconv.Itoa(l.version)
		stored, err := r.leaser().Fill(r.ctx, l.lease, []byte(value), r.opts(time.Minute, r.static, r.learned))
		if err != nil {
			r.Fatalf("Fill: %v", err)
		}
		r.log(i, fmt.Sprintf("fill %s: %t", value, stored))
		l.lease = nil
		if stored {
			r.stored++
			r.checkVersion("Fill, which reported stored,", value)
		}
		r.read()
	}
}

// write does the writer's next step: commit, or invalidate.
func (r *schedule) write() {
	if !r.pending {
		r.version++
		r.pending = true
		r.steps = append(r.steps, "commit "+strconv.Itoa(r.version))
		return
	}
	how := [...]string{"delete", "invalidate static tag", "invalidate learned tag", "set", "invalidate both"}[r.random.IntN(5)]
	r.steps = append(r.steps, how)
	switch how {
	case "delete":
		r.delete(r.key)
	case "invalidate static tag":
		r.invalidate(r.static)
	case "invalidate learned tag":
		r.invalidate(r.learned)
	case "set":
		r.set(r.key, strconv.Itoa(r.version), time.Minute, r.static, r.learned)
	default:
		r.invalidate(r.learned, r.static)
	}
	r.pending = false
	r.floor = r.version
	r.read()
}

func (r *schedule) read() {
	if value, found := r.get(r.key); found {
		r.checkVersion("Get", value)
	}
}

// finish completes the remaining steps and cleans up.
func (r *schedule) finish() {
	if r.pending {
		r.write()
	}
	for i := range r.loaders {
		for r.loaders[i].lease != nil {
			r.load(i)
		}
	}
	r.delete(r.key)
}

func (r *schedule) checkVersion(operation, value string) {
	version, err := strconv.Atoi(value)
	if r.failure == "" && (err != nil || version < r.floor || version > r.version) {
		r.failure = fmt.Sprintf("%s served version %s; after the invalidation of version %d returned, "+
			"nothing older may be read (the database holds %d)", operation, show(value), r.floor, r.version)
	}
}

func (r *schedule) log(loader int, step string) {
	r.steps = append(r.steps, "loader "+strconv.Itoa(loader)+": "+step)
}
