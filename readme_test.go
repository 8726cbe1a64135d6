package fxcache_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fxcache/fxcache"
)

// Every Go block of the README occurs word for word in a file that is compiled and run here. Its
// YAML block is a configuration that loads.
func TestREADME(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var compiled strings.Builder
	err = filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "example_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		compiled.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range []string{"go", "yaml"} {
		blocks := strings.Split(string(readme), "```"+language+"\n")[1:]
		if len(blocks) == 0 {
			t.Errorf("no %s block", language)
		}
		for _, block := range blocks {
			block, _, _ = strings.Cut(block, "```")
			switch {
			case language == "go" && !strings.Contains(compiled.String(), block):
				t.Errorf("this is in no example:\n%s", block)
			case language == "yaml":
				if err := newApp(fxcache.ConfigFile(file(t, "readme.yaml", block))).Err(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// The configuration in the design document loads.
func TestDesignedConfiguration(t *testing.T) {
	t.Parallel()
	app := newApp(fxcache.ConfigFile(file(t, "design.yaml", `
cache:
  strategy: bigcache
  namespace: myapp
  codec: json
  default_ttl: 0s
  max_ttl: 720h
  max_key_bytes: 1024
  max_value_bytes: 1MiB
  timeout: 50ms
  lock_wait: 2s
  bigcache: {max_size: 64MiB, shards: 256}
session_cache:
  strategy: default
  ttl: 24h
  stale_after: 5m
  prefix: session
`)))
	start(t, app)
	stop(t, app)
}
