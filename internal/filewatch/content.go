package filewatch

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
)

// digest is the SHA-256 of the content of all files.
type digest [sha256.Size]byte

// maxBytes is how much of a file counts, because it may be /dev/zero by mistake. Whoever reads it
// reports what is wrong with it.
const maxBytes = 16 << 20

// contentOf reads all files. That a file is missing, or cannot be read, is a content too. A pipe or
// a device is not read: what is read from it is lost to the one it is for.
func contentOf(files []string) (sum digest) {
	all := sha256.New()
	for _, file := range files {
		state, content := read(file)
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(file)))
		all.Write(length[:])
		_, _ = io.WriteString(all, file)
		all.Write([]byte{state})
		all.Write(content[:])
	}
	all.Sum(sum[:0])
	return sum
}

// What a file may be.
const (
	regular byte = iota
	missing
	unreadable
	special
)

func read(file string) (state byte, content digest) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing, content
	case err != nil:
		return unreadable, content
	case !info.Mode().IsRegular():
		return special, content
	}
	opened, err := os.Open(file) //nolint:gosec // the operator's
	if err != nil {
		return unreadable, content
	}
	hash := sha256.New()
	_, err = io.Copy(hash, io.LimitReader(opened, maxBytes))
	if err := errors.Join(err, opened.Close()); err != nil {
		return unreadable, content
	}
	hash.Sum(content[:0])
	return regular, content
}
