//go:build unix

package filewatch

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A pipe is not read: that would wait for a writer, and take what it writes.
func TestPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	taken := make(chan error, 1)
	go func() { taken <- os.WriteFile(path, []byte("for others"), 0) }() // waits for a reader
	contentOf([]string{path})
	select {
	case err := <-taken:
		t.Fatalf("the pipe was read: %v", err)
	default:
	}
	pipe, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(pipe)
	if err := errors.Join(err, pipe.Close(), <-taken); err != nil || string(text) != "for others" {
		t.Errorf("%q, %v", text, err)
	}
	if contentOf([]string{path}) == contentOf([]string{path + ".missing"}) {
		t.Error("a pipe is taken for a file that is missing")
	}
}
