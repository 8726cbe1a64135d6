package revocation_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/revocation"
)

func TestRestore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		end := time.Now().Add(time.Hour)
		own := revocation.Revocation{Key: "own", Storage: here, Until: end}
		unnamed := revocation.Revocation{Tag: "unnamed", Until: end}                               // of an earlier release
		emptied := revocation.Revocation{Key: "emptied", Storage: "redis/app/before", Until: end}  // another id, the same place
		foreign := revocation.Revocation{Key: "foreign", Storage: "redis/other/there", Until: end} // another place
		expired := revocation.Revocation{Key: "expired", Storage: "redis/other/there"}             // long ago
		died := revocation.Revocation{Key: "died", Storage: "process", Until: end}                 // with its process
		open := revocation.Revocation{Key: "open", Storage: here}                                  // without an end
		expired.Until = time.Now().Add(-time.Second)
		f.outbox.rows = []revocation.Revocation{own, unnamed, emptied, foreign, expired, died, open}

		count, err := revocation.Restore(t.Context(), f.outbox, f.Queue)
		if err != nil || count != 1 {
			t.Errorf("%d foreign rows, error %v, want 1", count, err)
		}
		f.settle()
		f.wantCalls([]revocation.Revocation{key("emptied"), key("open"), key("own")}, []revocation.Revocation{tag("unnamed")})
		f.wantRows(emptied, foreign)
	})
}

// TestRestoreLater cannot apply the rows at once: hits are refused until it can.
func TestRestoreLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.fail(errStorage)
		f.outbox.rows = []revocation.Revocation{{Key: "own", Storage: here, Until: time.Now().Add(time.Hour)}}
		if _, err := revocation.Restore(t.Context(), f.outbox, f.Queue); err != nil {
			t.Fatal(err)
		}
		if err, rows := f.Drain(t.Context()), f.outbox.has(); !errors.Is(err, revocation.ErrPending) || len(rows) != 1 {
			t.Errorf("error %v, rows %v, want it pending", err, rows)
		}
		f.fail(nil)
		<-time.After(time.Second)
		if f.Len() != 0 {
			t.Errorf("%d pending, want none", f.Len())
		}
		f.wantRows()
	})
}

func TestBrokenOutbox(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fail  func() error
		found func(error) bool
	}{
		{"fails", func() error { return errOutbox }, func(err error) bool { return errors.Is(err, errOutbox) }},
		{"panics", func() error { panic("outbox") }, func(err error) bool {
			var panicked *driver.PanicError
			return errors.As(err, &panicked) && panicked.Value == "outbox"
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.fail(errStorage)
				f.outbox.breaks(test.fail)
				_, err := f.Add(t.Context(), f.NewCall(), []revocation.Revocation{key("a")}, time.Hour)
				if !test.found(err) || f.Len() != 1 {
					t.Errorf("Add: error %v, %d pending, want the outbox's error and 1", err, f.Len())
				}
				if _, err := revocation.Restore(t.Context(), f.outbox, f.Queue); !test.found(err) {
					t.Errorf("Restore: error %v, want the outbox's", err)
				}
			})
		})
	}
}

// TestForgetFails: rows that the outbox cannot forget are only logged. They are applied once more
// after the next start.
func TestForgetFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.fail(errStorage)
		f.add(key("a"))
		f.fail(nil)
		f.outbox.breaks(func() error { panic("outbox") })
		<-time.After(time.Second)
		if _, warnings := f.seen(); f.Len() != 0 || len(f.outbox.has()) != 1 || warnings == 0 {
			t.Errorf("%d pending, rows %v, %d warnings, want 0, one and some", f.Len(), f.outbox.has(), warnings)
		}
	})
}

// TestRestoreOverLimit: one of everything takes the place of the rows, in the outbox too.
func TestRestoreOverLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.fail(errStorage)
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			f.outbox.rows = append(f.outbox.rows, revocation.Revocation{Key: name, Storage: here, Until: time.Now().Add(longest)})
		}
		if _, err := revocation.Restore(t.Context(), f.outbox, f.Queue); err != nil || f.Len() != 1 {
			t.Errorf("error %v, %d pending, want one of everything", err, f.Len())
		}
		f.settle()
		f.wantRows(revocation.Revocation{Storage: here, Until: hour(time.Now().Add(longest))})
	})
}
