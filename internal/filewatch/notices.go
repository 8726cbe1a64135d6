package filewatch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/fsnotify/fsnotify"
)

// notices are what the operating system tells about the folders of the files, and of the symbolic
// links on the way. Files are not watched themselves: a rename over a file would end the watch.
//
// A watch is of a folder that exists, whatever its name becomes. If any folder is another one than
// before, or its watch is gone, all watches are made anew: fsnotify mixes up two folders that have
// had the same name (it drops the watch of the new one when the old one is deleted).
type notices struct {
	open    func() (*fsnotify.Watcher, error)
	watcher *fsnotify.Watcher // nil: there are none
	folders []folder
	on      map[string]bool // the paths that matter
}

type folder struct {
	path string
	info fs.FileInfo
}

// follow sets what is watched. If it fails there are no notices until the next call.
func (n *notices) follow(files []string) error {
	// A link may change before its folder is watched. Then the second look differs.
	for range 3 {
		folders, on := foldersOf(files)
		n.on = on
		if n.watches(folders) {
			return nil
		}
		if err := n.renew(folders); err != nil {
			n.close()
			return err
		}
	}
	return nil
}

// foldersOf returns the folders to watch, in order, and the paths in them that matter.
func foldersOf(files []string) (folders []folder, on map[string]bool) {
	on = map[string]bool{}
	var paths []string
	for _, file := range files {
		for _, path := range trace(file) {
			on[path] = true
			paths = append(paths, filepath.Dir(path))
		}
	}
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		if info, err := os.Stat(path); err == nil {
			on[path] = true
			folders = append(folders, folder{path, info})
		}
	}
	return folders, on
}

// watches reports whether exactly these folders are watched.
func (n *notices) watches(folders []folder) bool {
	if n.watcher == nil || len(n.watcher.WatchList()) != len(folders) {
		return false
	}
	return slices.EqualFunc(n.folders, folders, func(a, b folder) bool { return a.path == b.path && os.SameFile(a.info, b.info) })
}

func (n *notices) renew(folders []folder) error {
	watcher, err := n.open()
	if err != nil {
		return reason(err)
	}
	for _, f := range folders {
		// One that has gone meanwhile is found out by the next look.
		if err := watcher.Add(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(reason(err), watcher.Close())
		}
	}
	n.close()
	n.watcher, n.folders = watcher, folders
	return nil
}

// reason returns an error without the path in it, which may be anything: a secret even, if an
// operator has mistaken a key.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// events returns the channel of the events. It is nil if there are none.
func (n *notices) events() <-chan fsnotify.Event {
	if n.watcher == nil {
		return nil
	}
	return n.watcher.Events
}

// errors is like events. An error says that events are lost.
func (n *notices) errors() <-chan error {
	if n.watcher == nil {
		return nil
	}
	return n.watcher.Errors
}

// matters reports whether an event may be about one of the files.
func (n *notices) matters(event fsnotify.Event) bool { return n.on[filepath.Clean(event.Name)] }

func (n *notices) close() {
	if n.watcher != nil {
		_ = n.watcher.Close() // nothing is written
		n.watcher, n.folders = nil, nil
	}
}
