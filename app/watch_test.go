package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reloads returns the value of a metric of reloads, or -1.
func reloads(t *testing.T, url, name, label string) float64 {
	t.Helper()
	for line := range strings.Lines(newClient(t).get(t, url+"/metrics").text) {
		fields := strings.Fields(line)
		if len(fields) == 2 && strings.HasPrefix(line, name+"{") && strings.Contains(line, label) {
			value, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	return -1
}

// await waits until a condition holds.
func (p *process) await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for deadline := time.After(patience); !condition(); {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("does not happen: %s\n%s", what, p.stderr.String())
		}
	}
}

// With -watch, the program reads its configuration again on SIGHUP, and when the file changes. An
// invalid one is reported, and changes nothing.
func TestWatch(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Log("there is no SIGHUP here")
		return
	}
	const valid = "cache: {strategy: bigcache, bigcache: {max_size: 32MiB}}\n"
	path := write(t, valid)
	p := launch(t, "-watch", "-config", path)
	measures := func(name, label string, want float64) {
		t.Helper()
		p.await(t, name+" "+label, func() bool { return reloads(t, p.url, name, label) == want })
	}
	measures("fxcache_reloads_total", `outcome="unchanged"`, 1) // what was read at the start is not old
	if err := p.command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	measures("fxcache_reloads_total", `outcome="unchanged"`, 2)

	bob := visitor(t, p.url, "bob")
	replace := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+"~", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+"~", path); err != nil {
			t.Fatal(err)
		}
	}
	replace("cache: {strategy: bigcashe}\n")
	measures("fxcache_reload_failed", "", 1)
	p.await(t, "the log says what is wrong", func() bool {
		log := p.stderr.String()
		return strings.Contains(log, "could not be reloaded") && strings.Contains(log, "there is no such strategy")
	})
	bob.get(t, p.url+"/me").from(t, "cache")
	replace(valid)
	measures("fxcache_reload_failed", "", 0)
	if got := reloads(t, p.url, "fxcache_reload_generation", ""); got != 1 {
		t.Errorf("generation %v: no value has changed", got)
	}
	p.stop(t)
}
