package fxcache_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
)

// However a file is replaced, its new content is read.
func TestWatch(t *testing.T) {
	t.Parallel()
	rename := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	link := func(t *testing.T, target, name string) {
		t.Helper()
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	mount := func(t *testing.T, folder string, n int) { // as Kubernetes updates a ConfigMap
		t.Helper()
		version := "..2024_" + strconv.Itoa(n)
		put(t, filepath.Join(folder, version, "fxcache.yaml"), number(n))
		old, _ := os.Readlink(filepath.Join(folder, "..data"))
		link(t, version, filepath.Join(folder, "..data_tmp"))
		rename(t, filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data"))
		if old != "" {
			if err := os.RemoveAll(filepath.Join(folder, old)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("edit in place", func(t *testing.T) {
		t.Parallel()
		w := startWatched(t, yamlPath(t))
		for n := 1; n <= 3; n++ {
			w.write(t, number(n))
			eventually(t, "the next number", w.saw(n))
		}
	})
	t.Run("rename over", func(t *testing.T) {
		t.Parallel()
		w := startWatched(t, yamlPath(t))
		for n := 1; n <= 3; n++ {
			put(t, w.path+"~", number(n))
			rename(t, w.path+"~", w.path)
			eventually(t, "the next number", w.saw(n))
		}
	})
	t.Run("Kubernetes", func(t *testing.T) {
		t.Parallel()
		path := yamlPath(t)
		mount(t, filepath.Dir(path), 0)
		link(t, filepath.Join("..data", "fxcache.yaml"), path)
		w := startWatched(t, path)
		for n := 1; n <= 3; n++ {
			mount(t, filepath.Dir(path), n)
			eventually(t, "the next number", w.saw(n))
		}
	})
	t.Run("removed and back", func(t *testing.T) {
		t.Parallel()
		w := startWatched(t, yamlPath(t))
		for n := 1; n <= 2; n++ {
			if err := os.Remove(w.path); err != nil {
				t.Fatal(err)
			}
			w.fails(t, "cannot be read: no such file")
			w.write(t, number(n))
			eventually(t, "the next number", w.saw(n))
		}
	})
	t.Run("cut off", func(t *testing.T) {
		t.Parallel()
		w := startWatched(t, yamlPath(t))
		w.write(t, "")
		w.fails(t, "is empty, and had content before")
		w.write(t, number(1))
		eventually(t, "the next number", w.saw(1))
		w.write(t, "cache: {strategy: numbered, numbered: {numb")
		w.fails(t, "line 1")
		w.write(t, "cache: {strategy: numbered, numbered: {number: 2}}\n")
		eventually(t, "the next number", w.saw(2))
	})
	t.Run("polled", func(t *testing.T) {
		t.Parallel()
		w := newWatched(t, yamlPath(t), fxcache.Watch(fxcache.WatchPollOnly(), fxcache.WatchPoll(5*time.Millisecond), fxcache.WatchSettle(20*time.Millisecond)))
		for n := 1; n <= 3; n++ {
			w.write(t, number(n))
			eventually(t, "the next number", w.saw(n))
		}
	})
	t.Run("a secret's file", func(t *testing.T) {
		t.Parallel()
		path, secret := yamlPath(t), yamlPath(t)+".password"
		put(t, secret, "one")
		put(t, path, number(0)+"    password_file: "+secret+"\n")
		w := startWatched(t, path)
		sawPassword := func(password string) func() bool {
			return func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				return w.passwords[len(w.passwords)-1] == password
			}
		}
		put(t, secret, "two")
		eventually(t, "the next password", sawPassword("two"))
		put(t, path, number(0)+"    password_file: "+secret+".new\n")
		w.fails(t, "cannot read the file")
		put(t, secret+".new", "three") // a file that could not be read is watched too
		eventually(t, "the next password", sawPassword("three"))
	})
}

// fails waits for a reload that fails with a text, and checks that it is also in the log and in the
// metrics.
func (w *watched) fails(t *testing.T, text string) {
	t.Helper()
	eventually(t, "the failure: "+text, func() bool {
		err := w.reloader.Status().LastError
		return err != nil && strings.Contains(err.Error(), text)
	})
	eventually(t, "the failure in the log", func() bool { return strings.Contains(w.log.String(), text) })
	if w.meter.value("fxcache.reload.failed", "") != 1 {
		t.Error("the metric does not show the failure")
	}
}

// Only values count. The reload that finds none changed is the sign that the file was read.
func TestFormattingOnly(t *testing.T) {
	t.Parallel()
	w := startWatched(t, yamlPath(t))
	put(t, w.path+"~", "# a comment\ncache: {numbered: {number: 0}, strategy: 'numbered'}\n")
	if err := os.Rename(w.path+"~", w.path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second look", func() bool { return w.meter.value("fxcache.reloads", "unchanged") == 2 })
	if status := w.reloader.Status(); status.Generation != 1 || status.LastError != nil || w.inits != 1 {
		t.Errorf("%+v, %d times initialised", status, w.inits)
	}
	if log := w.log.String(); strings.Contains(log, "was reloaded") || strings.Contains(log, "level=ERROR") {
		t.Errorf("logged:\n%s", log)
	}
}

// What changes during a reload is read afterwards, the newest only.
func TestSecondChangeDuringTheFirst(t *testing.T) {
	t.Parallel()
	w := startWatched(t, yamlPath(t))
	open := w.close()
	w.write(t, number(1))
	if got := <-w.entered; got != 1 {
		t.Fatalf("validates %d", got)
	}
	w.write(t, number(2))
	w.write(t, number(3))
	open()
	eventually(t, "the newest number", w.saw(3))
	if w.saw(2)() {
		t.Errorf("validated %v", w.seen())
	}
}

func TestWatchOptions(t *testing.T) {
	t.Parallel()
	for text, options := range map[string]fx.Option{
		"Watch is given more than once":             fx.Options(fxcache.Watch(), fxcache.Watch()),
		"fxcache.WatchPoll: must not be negative":   fxcache.Watch(fxcache.WatchPoll(-1)),
		"fxcache.WatchSettle: must not be negative": fxcache.Watch(fxcache.WatchOption{}, fxcache.WatchSettle(-1)),
	} {
		if err := newApp(options).Err(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
}

// Without notifications, a change is seen by the poll. The defaults are 30 s, and 250 ms to settle.
func TestPollByDefault(t *testing.T) {
	t.Parallel()
	path := yamlPath(t)
	put(t, path, number(1))
	n := &numbered{}
	synctest.Test(t, func(t *testing.T) {
		app := newApp(n.register(), fxcache.ConfigFile(path), fxcache.Watch(fxcache.WatchPollOnly()), fx.Supply(slog.New(slog.DiscardHandler)))
		start(t, app)
		defer stop(t, app)
		pass := func(d time.Duration) {
			<-time.After(d)
			synctest.Wait()
		}
		pass(time.Second)
		put(t, path, number(2))
		pass(29*time.Second + 249*time.Millisecond)
		if n.saw(2)() {
			t.Error("read too early")
		}
		pass(2 * time.Millisecond)
		if !n.saw(2)() {
			t.Error("not read")
		}
		pass(time.Hour)
		if got := n.seen(); !slices.Equal(got, []int{1, 2}) { // start, change; the first look finds nothing new
			t.Errorf("validated %v", got)
		}
	})
}

func TestNothingToWatch(t *testing.T) {
	t.Parallel()
	var log logged
	app := newApp(fxcache.Watch(), fx.Supply(slog.New(slog.NewTextHandler(&log, nil))))
	start(t, app)
	eventually(t, "a warning", func() bool { return strings.Contains(log.String(), "fxcache.Watch has nothing to watch") })
	stop(t, app)
}
