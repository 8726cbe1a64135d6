package filewatch_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/internal/filewatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for something that should take a moment.
var patience = flag.Duration("patience", 30*time.Second, "how long to wait for something that should take a moment")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

// changed waits for a change.
func changed(t testing.TB, w *filewatch.Watcher) {
	t.Helper()
	select {
	case <-w.Changes():
	case <-time.After(*patience):
		t.Fatal("no change is reported")
	}
}

// unchanged checks that no change waits to be received.
func unchanged(t testing.TB, w *filewatch.Watcher) {
	t.Helper()
	select {
	case <-w.Changes():
		t.Fatal("a change is reported")
	default:
	}
}
