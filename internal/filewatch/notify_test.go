package filewatch_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/fxcache/fxcache/internal/filewatch"
)

// notified starts a Watcher that only notifications can wake.
func notified(t *testing.T, path string) *filewatch.Watcher {
	t.Helper()
	w := filewatch.Start(t.Context(), []string{path}, filewatch.Options{
		Poll: time.Hour, Settle: 20 * time.Millisecond, Warn: func(err error) { t.Errorf("no notifications: %v", err) },
	})
	t.Cleanup(func() { <-w.Done() })
	changed(t, w)
	return w
}

// Each step changes what the file leads to. All are notified, also the second time.
func TestNotifications(t *testing.T) {
	t.Parallel()
	version := 0
	mount := func(t *testing.T, folder string) { // as Kubernetes updates a ConfigMap
		version++
		data := "..2024_" + strconv.Itoa(version)
		write(t, filepath.Join(folder, data, "a.yaml"), data)
		old, _ := os.Readlink(filepath.Join(folder, "..data"))
		must(t, os.Symlink(data, filepath.Join(folder, "..data_tmp")))
		must(t, os.Rename(filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data")))
		if old != "" {
			must(t, os.RemoveAll(filepath.Join(folder, old)))
		}
	}
	for name, test := range map[string]struct {
		prepare func(t *testing.T, folder string)
		step    func(t *testing.T, folder string, n int)
	}{
		"edit in place": {step: func(t *testing.T, folder string, n int) { write(t, filepath.Join(folder, "a.yaml"), strconv.Itoa(n)) }},
		"rename over": {step: func(t *testing.T, folder string, n int) {
			write(t, filepath.Join(folder, "a.yaml~"), strconv.Itoa(n))
			must(t, os.Rename(filepath.Join(folder, "a.yaml~"), filepath.Join(folder, "a.yaml")))
		}},
		"removed and back": {step: func(t *testing.T, folder string, n int) {
			if n%2 == 0 {
				must(t, os.Remove(filepath.Join(folder, "a.yaml")))
			} else {
				write(t, filepath.Join(folder, "a.yaml"), "back")
			}
		}},
		"Kubernetes": {
			prepare: func(t *testing.T, folder string) {
				mount(t, folder)
				must(t, os.Symlink(filepath.Join("..data", "a.yaml"), filepath.Join(folder, "a.yaml")))
			},
			step: func(t *testing.T, folder string, _ int) { mount(t, folder) },
		},
		"the folder is another one": {step: func(t *testing.T, folder string, n int) {
			write(t, filepath.Join(folder+".new", "a.yaml"), strconv.Itoa(n))
			must(t, os.Rename(folder, folder+".old."+strconv.Itoa(n)))
			must(t, os.Rename(folder+".new", folder))
		}},
		"the folder is removed, and back": {step: func(t *testing.T, folder string, n int) {
			if n%2 == 0 {
				must(t, os.RemoveAll(folder))
			} else {
				write(t, filepath.Join(folder, "a.yaml"), strconv.Itoa(n))
			}
		}},
		"the file is in another folder": {
			prepare: func(t *testing.T, folder string) {
				write(t, filepath.Join(folder+".real", "a.yaml"), "a")
				must(t, os.Symlink(filepath.Join(folder+".real", "a.yaml"), filepath.Join(folder, "a.yaml")))
			},
			step: func(t *testing.T, folder string, n int) {
				write(t, filepath.Join(folder+".real", "a.yaml"), strconv.Itoa(n))
			},
		},
	} {
		t.Run(name, func(t *testing.T) { // one by one, because of version
			folder := filepath.Join(t.TempDir(), "etc")
			must(t, os.Mkdir(folder, 0o700))
			if test.prepare != nil {
				test.prepare(t, folder)
			} else {
				write(t, filepath.Join(folder, "a.yaml"), "a")
			}
			w := notified(t, filepath.Join(folder, "a.yaml"))
			for n := range 4 {
				test.step(t, folder, n)
				changed(t, w)
			}
		})
	}
}

// Nothing notifies that a folder above has been replaced, or mounted over. The next look finds it
// out, and notifications of the new folder follow.
func TestAnotherFolderAbove(t *testing.T) {
	t.Parallel()
	above := filepath.Join(t.TempDir(), "app")
	path := filepath.Join(above, "etc", "a.yaml")
	write(t, path, "one")
	w := notified(t, path)
	write(t, filepath.Join(above+".new", "etc", "a.yaml"), "two")
	must(t, os.Rename(above, above+".old"))
	must(t, os.Rename(above+".new", above))
	w.Follow([]string{path}) // is followed by a look
	changed(t, w)
	write(t, path, "three")
	changed(t, w)
}
