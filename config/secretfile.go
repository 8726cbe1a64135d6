package config

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
)

// maxSecretBytes limits how much of a secret's file is read, because the path may be /dev/zero by
// mistake. The largest secrets, chains of certificates, have about 10 KiB.
const maxSecretBytes = 1 << 20

// secretFile replaces the path in n by the content of the file. other is the node of the secret
// itself, called name, or nil if only the file is given. Problems do not show the path: it may be
// the secret, under the wrong key.
func (d *decoder) secretFile(n, other *node, name string) error {
	path, isString := n.value.(string)
	if err := d.unfilled(n, false); err != nil {
		return err
	}
	switch {
	case other != nil:
		return d.report(n, "is given in addition to %s (%s): remove one of them", name, other.origin.name)
	case n.value == nil:
		return d.report(n, "has no value: write one, or remove the key")
	case !isString:
		return d.report(n, "must be the path of a file, not %s", kindName(n.value))
	}
	read := d.source.secretFiles.read
	if d.again {
		read = readSecret
	}
	text, err := read(path)
	switch {
	case err != nil:
		return d.report(n, "cannot read the file (its name is not shown): %s", reason(err))
	case len(text) > maxSecretBytes:
		return d.report(n, "cannot use the file: it is larger than %d bytes", maxSecretBytes)
	case text == "":
		return d.report(n, "cannot use the file: it is empty")
	case spoilt(text) != "":
		return d.report(n, "cannot use the file: its content %s", spoilt(text))
	}
	n.value, n.fromFile = text, true
	return nil
}

// spoilt returns what an editor, a shell or another encoding has added to a secret, or "". Nobody
// could see it in an error, so it is refused and not removed: it may be part of the secret.
func spoilt(secret string) string {
	switch {
	case strings.HasPrefix(secret, byteOrderMark), strings.HasPrefix(secret, "\xff\xfe"), strings.HasPrefix(secret, "\xfe\xff"):
		return "begins with a byte order mark (BOM): save it as UTF-8 without one"
	case strings.ContainsRune(secret, 0):
		return "has a zero byte (NUL): save it as plain text in UTF-8"
	case strings.TrimSpace(secret) != secret:
		return "begins or ends with a blank or a line end: remove it"
	}
	return ""
}

// secretFiles are the files of secrets that a Source has read. Each is read once, so that every
// Decode of one Source sees the same. It is safe for concurrent use.
type secretFiles struct {
	mu     sync.Mutex
	byPath map[string]secretContent
	paths  []string // in the order of reading
}

type secretContent struct {
	text string
	err  error
}

func (f *secretFiles) read(path string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	content, known := f.byPath[path]
	if !known {
		if f.byPath == nil {
			f.byPath = map[string]secretContent{}
		}
		content.text, content.err = readSecret(path)
		f.byPath[path] = content
		f.paths = append(f.paths, path)
	}
	return content.text, content.err
}

// tried returns the paths of all files, and of those that could be read if readable is true.
func (f *secretFiles) tried(readable bool) (paths []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, path := range f.paths {
		if f.byPath[path].err == nil || !readable {
			paths = append(paths, path)
		}
	}
	return paths
}

// readSecret returns the content of a file without the newline that editors and echo add at the
// end.
func readSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxSecretBytes+2))
	text, cut := strings.CutSuffix(string(content), "\n")
	if cut {
		text = strings.TrimSuffix(text, "\r")
	}
	return text, errors.Join(err, file.Close())
}
