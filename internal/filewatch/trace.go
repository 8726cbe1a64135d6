package filewatch

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxLinks ends a circle of symbolic links. It is what Linux follows.
const maxLinks = 40

// trace follows a path as the operating system does. It returns the paths on which depends what the
// path leads to: each symbolic link on the way, and the file at the end, or the first name that
// does not exist. Their folders are real: there is no link in their paths.
//
// In Kubernetes, /etc/app/a.yaml is a link to ..data/a.yaml, and ..data one to a folder with the
// time in its name. An update replaces ..data. The result has all three.
func trace(path string) (on []string) {
	path, err := filepath.Abs(path)
	if err != nil { // the working directory is gone
		return nil
	}
	at, names := split(path)
	for links := 0; len(names) > 0; {
		next := filepath.Join(at, names[0])
		names = names[1:]
		info, err := os.Lstat(next)
		if err != nil {
			return append(on, next)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			if len(names) == 0 {
				on = append(on, next)
			}
			at = next
			continue
		}
		on = append(on, next)
		target, err := os.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return on
		}
		way := strings.FieldsFunc(target, func(r rune) bool { return r < 128 && os.IsPathSeparator(uint8(r)) }) //nolint:gosec // below 128
		if filepath.IsAbs(target) {
			at, way = split(target)
		}
		names = slices.Concat(way, names)
	}
	return on
}

// split returns the root of an absolute path, and the names below it.
func split(path string) (root string, names []string) {
	volume := filepath.VolumeName(path)
	names = strings.FieldsFunc(path[len(volume):], func(r rune) bool { return r < 128 && os.IsPathSeparator(uint8(r)) }) //nolint:gosec // below 128
	return volume + string(filepath.Separator), names
}
