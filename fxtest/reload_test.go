package fxtest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/fxtest"
)

// After a reload with another strategy, Store has its recorder. Both record the revocations of the
// handover. App.Strategy stays that of the start.
func TestRecorderAfterAReload(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fxcache.yaml")
	write := func(size string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("cache: {handover: 1h, bigcache: {max_size: "+size+"}, strategy: bigcache}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("32MiB")
	var reloader *fxcache.Reloader
	app := fxtest.New(t, fxcache.ConfigFile(path), fx.Populate(&reloader))
	former := app.Store("default")
	if err := reloader.Reload(t.Context()); err != nil || app.Store("default") != former {
		t.Errorf("a reload without a change: %v, or another recorder", err)
	}
	write("16MiB")
	if err := reloader.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := app.Store("default")
	if next == former || app.Strategy != former {
		t.Fatal("Store has the former recorder, or Strategy the next one")
	}
	readBy := func(recorder *fxtest.Recorder) bool {
		return slices.ContainsFunc(recorder.Operations(), func(o fxtest.Operation) bool {
			return o.Name == fxtest.OpGet && slices.ContainsFunc(o.Keys, func(key string) bool { return strings.HasSuffix(key, ":k") })
		})
	}
	if _, err := app.Cache.Get(t.Context(), "k", new(int)); err != nil || !readBy(former) || readBy(next) {
		t.Errorf("a read: %v; %v and %v", err, former.Operations(), next.Operations())
	}
	if err := app.Cache.Delete(t.Context(), "k"); err != nil || former.Count(fxtest.OpDelete) != 1 || next.Count(fxtest.OpDelete) != 1 {
		t.Errorf("a revocation: %v; %v and %v", err, former.Operations(), next.Operations())
	}
}
