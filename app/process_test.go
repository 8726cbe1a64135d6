package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for something that should take a moment.
const patience = 2 * time.Minute

// binary is the path of the real program, which is built once for all tests.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		directory, err := os.MkdirTemp("", "fxcache-app-test-")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(directory) }()
		binary = filepath.Join(directory, "app")
		if runtime.GOOS == "windows" {
			binary += ".exe"
		}
		args := []string{"build", "-o", binary}
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, setting := range info.Settings {
				if setting.Key == "-race" && setting.Value == "true" {
					args = append(args, "-race") // like these tests
				}
			}
		}
		if output, err := exec.CommandContext(context.Background(), "go", append(args, ".")...).CombinedOutput(); err != nil {
			panic(fmt.Sprintf("go build: %v\n%s", err, output))
		}
		return m.Run()
	}())
}

// process is a running program.
type process struct {
	command *exec.Cmd
	url     string
	stdout  output
	stderr  output
	ended   chan struct{} // closed once command.Wait has returned
}

// launch starts the program on a free port and waits until it listens. It is killed when the test
// ends.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	// The test's context would end before the cleanup, and kill the program too early.
	p := &process{command: command(context.Background(), append([]string{"-addr", "127.0.0.1:0"}, args...)...), ended: make(chan struct{})}
	// On a busy machine a cache read may take longer than 50 ms. It would then count as a miss.
	p.command.Env = append(p.command.Env, "FXCACHE_CACHE__TIMEOUT=5s")
	p.stdout.awaited, p.stdout.found = "listening on ", make(chan string, 1)
	p.command.Stdout, p.command.Stderr = &p.stdout, &p.stderr
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.ended
	})
	select {
	case p.url = <-p.stdout.found:
	case <-p.ended:
		t.Fatalf("the program ended: %s", p.stderr.String())
	case <-time.After(patience):
		t.Fatalf("the program does not listen: %s", p.stderr.String())
	}
	return p
}

// stop asks the program to end, as an operator would, and checks that it exits cleanly.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Log("there is no SIGTERM here; the program is killed")
		return
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatal("the program does not stop")
	}
	if status := p.command.ProcessState.ExitCode(); status != exitOK {
		t.Errorf("exit status %d after SIGTERM: %s", status, p.stderr.String())
	}
}

// fail runs a program that must end by itself, and returns its output.
func fail(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := command(ctx, args...)
	var out, err bytes.Buffer
	c.Stdout, c.Stderr = &out, &err
	_ = c.Run() // callers check the exit status
	if ctx.Err() != nil {
		t.Fatalf("the program with %q goes on", args)
	}
	return c.ProcessState.ExitCode(), out.String(), err.String()
}

// command returns the command of the program, without configuration from the environment of the
// tests.
func command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, binary, args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "FXCACHE_") {
			c.Env = append(c.Env, variable)
		}
	}
	return c
}

// output collects what a program writes, and reports the rest of the line that begins with awaited.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	awaited string // empty: nothing is
	found   chan string
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if _, rest, ok := strings.Cut(o.text.String(), o.awaited); ok && o.awaited != "" {
		if line, _, complete := strings.Cut(rest, "\n"); complete {
			o.found <- line
			o.awaited = ""
		}
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
