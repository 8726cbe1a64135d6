package fxcache_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
)

func yamlPath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "fxcache.yaml")
}

// A Reloader is there without a Watch, from the start to the end of the application.
func TestReload(t *testing.T) {
	t.Parallel()
	path := yamlPath(t)
	put(t, path, number(1))
	n := &numbered{}
	var reloader *fxcache.Reloader
	wraps := 0
	app := newApp(n.register(), fxcache.ConfigFile(path), fx.Populate(&reloader),
		fxcache.Wrap(func(s driver.Strategy) driver.Strategy { wraps++; return s }))
	if err := reloader.Reload(t.Context()); !errors.Is(err, cache.ErrNotStarted) {
		t.Errorf("before the start: %v", err)
	}
	for range 2 { // an application may be started again
		start(t, app)
		if err := reloader.Reload(t.Context()); err != nil {
			t.Errorf("nothing has changed: %v", err)
		}
		stop(t, app)
		if err := reloader.Reload(t.Context()); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	}
	if got := n.seen(); !slices.Equal(got, []int{1}) || n.inits != 2 || wraps != 1 {
		t.Errorf("validated %v, %d times initialised, %d times wrapped", got, n.inits, wraps)
	}
	if text := fmt.Sprintf("%v %+v %#v", reloader, reloader, reloader); strings.Contains(text, path) {
		t.Errorf("prints %s", text)
	}
}

// An invalid configuration changes nothing. The error is the one that the next start would have. It
// is logged once, and stays in Status and in the metrics until a reload succeeds.
func TestInvalidAndMended(t *testing.T) {
	t.Parallel()
	w := newWatched(t, yamlPath(t))
	began := w.reloader.Status()
	if began.Generation != 1 || began.LastError != nil || began.LastSuccess.IsZero() || !began.FailedAt.IsZero() || began.Running {
		t.Errorf("at the start: %+v", began)
	}
	for name, text := range map[string]string{
		"values":        "cache: {strategy: numbered, numbered: {number: x, numbr: 1}, max_ttl: 30}\nsesion_cache: {}\n",
		"syntax":        "cache: {strategy: numbered",
		"strategy":      "cache: {strategy: nope}",
		"secret's file": "cache: {strategy: numbered, numbered: {password_file: /nowhere/hunter2}}",
	} {
		w.write(t, text)
		failures := w.meter.value("fxcache.reloads", "failed")
		for range 3 {
			err := w.reloader.Reload(t.Context())
			next := newApp(w.register(), fxcache.ConfigFile(w.path)).Err()
			var invalid *config.Error
			if !errors.As(err, &invalid) || next == nil || err.Error() != next.Error() {
				t.Errorf("%s: %v\nand the next start: %v", name, err, next)
			}
			status := w.reloader.Status()
			if status.LastError == nil || status.LastError.Error() != err.Error() || status.FailedAt.IsZero() || status.Generation != 1 ||
				status.LastSuccess.Before(began.LastSuccess) {
				t.Errorf("%s: %+v", name, status)
			}
		}
		if got := w.meter.value("fxcache.reloads", "failed"); got != failures+3 || w.meter.value("fxcache.reload.failed", "") != 1 {
			t.Errorf("%s: %v failures, after %v", name, got, failures)
		}
		if lines := strings.Count(w.log.String(), "level=ERROR"); lines != 1 {
			t.Errorf("%s: logged %d times:\n%s", name, lines, w.log.String())
		}
		w.write(t, number(0))
		if err := w.reloader.Reload(t.Context()); err != nil {
			t.Errorf("%s, mended: %v", name, err)
		}
		if status := w.reloader.Status(); status.LastError != nil || !status.FailedAt.IsZero() || status.Generation != 1 {
			t.Errorf("%s, mended: %+v", name, status)
		}
		if w.meter.value("fxcache.reload.failed", "") != 0 || strings.Count(w.log.String(), "valid again") != 1 {
			t.Errorf("%s, mended: %s", name, w.log.String())
		}
		if strings.Contains(w.log.String(), "hunter2") {
			t.Errorf("%s: the log has a secret", name)
		}
		w.log.clear()
	}
	if got := w.meter.value("fxcache.reload.generation", ""); got != 1 {
		t.Errorf("generation %v", got)
	}
	if at := w.meter.value("fxcache.reload.last_success", ""); at < float64(began.LastSuccess.Unix()) || at > float64(time.Now().Unix()+1) {
		t.Errorf("last success at %v", at)
	}
}

// A file that had content and is empty was cut off, whatever else the defaults would say.
func TestEmptiedFile(t *testing.T) {
	t.Parallel()
	w := newWatched(t, yamlPath(t))
	for _, text := range []string{"", "\n", "# only this\n"} {
		w.write(t, text)
		if err := w.reloader.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "is empty, and had content before") {
			t.Errorf("%q: %v", text, err)
		}
	}
	w.write(t, number(0))
	if err := w.reloader.Reload(t.Context()); err != nil {
		t.Error(err)
	}
}

// All who ask while a reload is running share the next, which sees the newest.
func TestReloadsAreShared(t *testing.T) {
	t.Parallel()
	w := newWatched(t, yamlPath(t))
	open := w.close()
	w.write(t, number(1))
	var first sync.WaitGroup
	first.Go(func() { _ = w.reloader.Reload(t.Context()) })
	if got := <-w.entered; got != 1 {
		t.Fatalf("validates %d", got)
	}
	if !w.reloader.Status().Running {
		t.Error("no reload is running")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for n := 2; n < 10; n++ { // each asks, and does not wait
		w.write(t, number(n))
		if err := w.reloader.Reload(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that has gone: %v", err)
		}
	}
	open()
	first.Wait()
	eventually(t, "the end", func() bool { return !w.reloader.Status().Running })
	if got := w.seen(); !slices.Equal(got, []int{0, 1, 9}) {
		t.Errorf("validated %v", got)
	}
}

// A reload that hangs does not hang the end of the application.
func TestStopDuringAReload(t *testing.T) {
	t.Parallel()
	n := &numbered{}
	path := yamlPath(t)
	put(t, path, number(1))
	var reloader *fxcache.Reloader
	app := newApp(n.register(), fxcache.ConfigFile(path), fx.Populate(&reloader), fxcache.Override(map[string]any{"cache.handover": "1ms"}))
	start(t, app)
	open := n.close()
	result := make(chan error, 1)
	put(t, path, number(2))
	go func() { result <- reloader.Reload(context.Background()) }()
	<-n.entered
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := app.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop: %v", err)
	}
	open()
	<-result //nolint:errcheck // whether it could still be applied depends on which of the two comes first
}

// Another content of a secret's file is a change, unless the strategy follows it itself.
func TestFollowedSecrets(t *testing.T) {
	t.Parallel()
	for _, follows := range []bool{true, false} {
		path, secret := yamlPath(t), file(t, "password", "one")
		put(t, path, number(1)+"    password_file: "+secret+"\n")
		n := &numbered{follows: follows}
		var reloader *fxcache.Reloader
		app := newApp(n.register(), fxcache.ConfigFile(path), fx.Populate(&reloader), fx.Supply(slog.New(slog.DiscardHandler)))
		start(t, app)
		put(t, secret, "two")
		if err := reloader.Reload(t.Context()); follows && err != nil {
			t.Errorf("followed: %v", err)
		} else if status := reloader.Status(); !follows && err == nil && status.Generation != 2 {
			t.Errorf("no change: %+v", status)
		}
		stop(t, app)
	}
}

// A panic in code of the application is the error of one reload.
func TestReloadPanics(t *testing.T) {
	t.Parallel()
	w := newWatched(t, yamlPath(t))
	w.write(t, strings.ReplaceAll(number(0), "number: 0", "number: 666"))
	if err := w.reloader.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("no panic: %v", err)
	}
	w.write(t, number(0))
	if err := w.reloader.Reload(t.Context()); err != nil {
		t.Error(err)
	}
}

// A start says what is in use, and shows no values.
func TestStartSaysWhatWasRead(t *testing.T) {
	t.Parallel()
	path := yamlPath(t)
	secret := file(t, "password", "hunter2-file")
	put(t, path, number(1)+"    password_file: "+secret+"\n")
	w := newWatched(t, path, fx.Options(), fxcache.Override(map[string]any{"cache.timeout": "5s"}))
	line := ""
	for text := range strings.Lines(w.log.String()) {
		if strings.Contains(text, "the configuration was read") {
			line += text
		}
	}
	for _, want := range []string{"level=INFO", path, secret, "others=[code]", "variables=[]"} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is missing in %s", want, line)
		}
	}
	if strings.Count(line, "\n") != 1 || strings.Contains(w.log.String(), "hunter2") {
		t.Errorf("logged:\n%s", w.log.String())
	}

	var log logged
	app := fx.New(fxcache.Module, fx.NopLogger, fx.Supply(slog.New(slog.NewTextHandler(&log, nil))),
		fxcache.Environment("SHOP_", func() []string { return []string{"SHOP_CACHE__TIMEOUT=7s", "SHOP_PORT=1", "PATH=x"} }))
	start(t, app)
	stop(t, app)
	if text := log.String(); !strings.Contains(text, "variables=[SHOP_CACHE__TIMEOUT]") || strings.Contains(text, "7s") {
		t.Errorf("logged:\n%s", text)
	}
}
