package filewatch_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/fxcache/fxcache/internal/filewatch"
)

// polled runs a test of a Watcher that polls each second, in a time of its own, on a file of its
// own. What was there at the start is handed on already.
func polled(t *testing.T, options filewatch.Options, test func(t *testing.T, w *filewatch.Watcher, path string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.yaml")
	write(t, path, "one")
	options.Poll = time.Second
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := filewatch.Start(ctx, []string{path}, options)
		defer func() {
			cancel()
			<-w.Done()
		}()
		changed(t, w)
		test(t, w, path)
	})
}

// wait lets a time pass in which the Watcher does all that it has to.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

var pollOnly = filewatch.Options{PollOnly: true}

func TestPoll(t *testing.T) {
	t.Parallel()
	polled(t, pollOnly, func(t *testing.T, w *filewatch.Watcher, path string) {
		wait(time.Minute)
		unchanged(t, w)
		write(t, path, "one") // the time of the file changes, and nothing else
		wait(time.Minute)
		unchanged(t, w)

		write(t, path, "two")
		began := time.Now()
		changed(t, w)
		if took := time.Since(began); took > time.Second+filewatch.DefaultSettle {
			t.Errorf("took %v", took)
		}
		must(t, os.Remove(path))
		changed(t, w)
		write(t, path, "two")
		changed(t, w)
		write(t, path, "") // not the same as no file
		changed(t, w)
		must(t, os.Remove(path))
		changed(t, w)
		wait(time.Minute)
		unchanged(t, w)
	})
}

// What is written in two parts is handed on once, whole.
func TestTruncatedWrite(t *testing.T) {
	t.Parallel()
	polled(t, pollOnly, func(t *testing.T, w *filewatch.Watcher, path string) {
		wait(time.Second - filewatch.DefaultSettle - 100*time.Millisecond) // the next poll is in 100 ms
		write(t, path, "tw")
		wait(200 * time.Millisecond)
		write(t, path, "two")
		wait(200 * time.Millisecond) // the look that found another content than the poll is over
		unchanged(t, w)
		wait(250 * time.Millisecond)
		changed(t, w)
		wait(time.Minute)
		unchanged(t, w)
	})
	// Settle is longer than the poll here: each poll finds another content.
	slow := filewatch.Options{PollOnly: true, Settle: 3 * time.Second}
	polled(t, slow, func(t *testing.T, w *filewatch.Watcher, path string) {
		for _, part := range []string{"", "tw", "two\nthr", "two\nthree"} {
			write(t, path, part)
			wait(2 * time.Second)
			unchanged(t, w)
		}
		wait(4 * time.Second)
		changed(t, w)
		wait(time.Minute)
		unchanged(t, w)
	})
}

// A file that never comes to rest is read sometime.
func TestNeverSettles(t *testing.T) {
	t.Parallel()
	polled(t, filewatch.Options{PollOnly: true, Settle: 3 * time.Second, Longest: 20 * time.Second}, func(t *testing.T, w *filewatch.Watcher, path string) {
		began := time.Now()
		for i := range 60 {
			write(t, path, time.Duration(i).String())
			wait(time.Second)
			select {
			case <-w.Changes():
				if took := time.Since(began); took < 20*time.Second || took > 22*time.Second {
					t.Errorf("read after %v", took)
				}
				return
			default:
			}
		}
		t.Error("never read")
	})
}

// Changes that nobody has received yet are one.
func TestNewestOnly(t *testing.T) {
	t.Parallel()
	polled(t, pollOnly, func(t *testing.T, w *filewatch.Watcher, path string) {
		for _, text := range []string{"two", "three", "four"} {
			write(t, path, text)
			wait(10 * time.Second)
		}
		changed(t, w)
		wait(time.Minute)
		unchanged(t, w)
	})
}

// Without notifications, there is one warning, and the poll.
func TestNoNotifications(t *testing.T) {
	t.Parallel()
	var warnings []error
	options := filewatch.Options{
		Open: func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE },
		Warn: func(err error) { warnings = append(warnings, err) },
	}
	polled(t, options, func(t *testing.T, w *filewatch.Watcher, path string) {
		wait(time.Minute)
		write(t, path, "two")
		changed(t, w)
		wait(time.Minute)
		if len(warnings) != 1 || !errors.Is(warnings[0], syscall.EMFILE) {
			t.Errorf("warnings: %v", warnings)
		}
	})
}

// The list of files may change.
func TestFollow(t *testing.T) {
	t.Parallel()
	polled(t, pollOnly, func(t *testing.T, w *filewatch.Watcher, path string) {
		other := filepath.Join(t.TempDir(), "b.yaml")
		write(t, other, "other")
		w.Follow([]string{path, other})
		changed(t, w)
		write(t, other, "another")
		changed(t, w)
		w.Follow([]string{path, other})
		wait(time.Minute)
		unchanged(t, w)
	})
}

func TestFollowAfterTheEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	w := filewatch.Start(ctx, nil, pollOnly)
	cancel()
	<-w.Done()
	w.Follow([]string{"a.yaml"})
}
