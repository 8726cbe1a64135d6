package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/fxtest"
	"github.com/fxcache/fxcache/internal/redistest"
)

// TestStory runs the story against the real program, on every configuration that needs no server.
func TestStory(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		config string // a file, or its text
		cached string
	}{
		{"defaults", "", "cache"},
		{"bigcache", "configs/bigcache.yaml", "cache"},
		{"noop", "configs/noop.yaml", "database"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var args []string
			if test.config != "" {
				args = []string{"-config", test.config}
			}
			p := launch(t, args...)
			for _, name := range []string{"admin", "alice", "bob"} {
				if line := "user " + name + "@example.com, password " + name; !strings.Contains(p.stdout.String(), line) {
					t.Errorf("the program does not print %q", line)
				}
			}
			story{here: p.url, there: p.url, cached: test.cached}.tell(t)
			p.stop(t)
		})
	}
}

// TestStoryWithoutSessionCache: products are cached, sessions are not.
func TestStoryWithoutSessionCache(t *testing.T) {
	t.Parallel()
	p := launch(t, "-config", write(t, "session_cache: {strategy: noop}"))
	s := story{here: p.url, there: p.url, cached: "database"}
	t.Run("log in", s.logIn)
	t.Run("a new log-in ends the old session", s.logInAgain)
	t.Run("change a product", s.changeProduct)
	t.Run("change a role", s.changeRole)
	t.Run("log out", s.logOut)
	t.Run("log out everywhere", s.logOutEverywhere)
	p.stop(t)
}

// TestStoryOfTwoInstances: two programs, one database.
func TestStoryOfTwoInstances(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "shop.db")
	here := launch(t, "-db", database, "-config", "configs/noop.yaml")
	there := launch(t, "-db", database, "-config", "configs/noop.yaml")
	story{here: here.url, there: there.url, cached: "database"}.tell(t)
	here.stop(t)
	there.stop(t)
}

// TestStoryOnOneRedis: two programs share one database and one Redis. After a login on one, the
// other finds the session in the cache. After a logout on one, the other refuses the next request.
func TestStoryOnOneRedis(t *testing.T) {
	t.Parallel()
	config := write(t, fxtest.Redis(t))
	database := filepath.Join(t.TempDir(), "shop.db")
	here := launch(t, "-db", database, "-config", config)
	there := launch(t, "-db", database, "-config", config)
	story{here: here.url, there: there.url, cached: "cache"}.tell(t)
	here.stop(t)
	there.stop(t)
}

// TestRestart: the database keeps its data, the cache does not.
func TestRestart(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "my shop?.db")
	first := launch(t, "-db", database)
	bob := visitor(t, first.url, "bob")
	bob.get(t, first.url+"/me").from(t, "cache")
	first.stop(t)

	second := launch(t, "-db", database)
	if strings.Contains(second.stdout.String(), "password") {
		t.Error("the program prints passwords of a database that it has not seeded")
	}
	bob.get(t, second.url+"/me").from(t, "database")
	bob.get(t, second.url+"/me").from(t, "cache")
	second.stop(t)
}

func TestTemporaryDatabaseIsRemoved(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	p := launch(t)
	if entries, err := os.ReadDir(temporary); err != nil || len(entries) != 1 {
		t.Fatalf("the shop keeps %v in TMPDIR (%v), want one folder", entries, err)
	}
	p.stop(t)
	if entries, err := os.ReadDir(temporary); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() }) // after the parallel subtests
	bad := write(t, "cache:\n  strateg: bigcache\n  timeout: 30\n  bigcache: {max_size: 1KiB}\nsession_cache: {strategy: nope}\n")
	small := write(t, "cache: {max_key_bytes: 8B}")
	full := write(t, "cache: {max_value_bytes: 512MiB, bigcache: {max_size: 2MiB}}")

	for _, test := range []struct {
		name   string
		args   []string
		status int
		// stderr is the prefix of each line on stderr.
		stderr []string
	}{
		{"configuration", []string{"-config", bad}, exitUsage, []string{
			"invalid configuration: 4 problems:",
			"  cache.bigcache.max_size (" + bad + "): must be at least 2MiB",
			"  cache.strateg (" + bad + `): unknown key; did you mean "strategy"?`,
			"  cache.timeout (" + bad + "): has no unit",
			"  session_cache.strategy (" + bad + `): there is no such strategy; choose one of default, noop`,
		}},
		{"no configuration", []string{"-config", bad + ".yaml"}, exitUsage, []string{
			"invalid configuration: 1 problem:",
			"  " + bad + ".yaml: cannot be read",
		}},
		{"configuration that the shop's own cache cannot have", []string{"-config", small}, exitUsage, []string{`cache "product": name: must have`}},
		{"configuration that the strategy finds bad at its start", []string{"-config", full}, exitUsage, []string{
			"invalid configuration: 1 problem:",
			"  cache.bigcache.max_size: 2MiB cannot hold",
		}},
		{"flag", []string{"-nope"}, exitUsage, []string{"flag provided but not defined: -nope", "Usage of app:", "  -addr", "    \t", "  -config", "    \t", "  -db", "    \t", "  -watch", "    \t"}},
		{"argument", []string{"nope"}, exitUsage, []string{"unexpected argument: nope", "Usage of app:", "  -addr", "    \t", "  -config", "    \t", "  -db", "    \t", "  -watch", "    \t"}},
		{"port in use", []string{"-addr", listener.Addr().String()}, exitFailure, []string{"listen tcp " + listener.Addr().String() + ": bind: "}},
		{"database", []string{"-db", filepath.Join(bad, "shop.db")}, exitFailure, []string{"the database cannot be opened: "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			args := test.args
			if !strings.HasPrefix(test.name, "port") {
				args = append([]string{"-addr", "127.0.0.1:0"}, args...)
			}
			status, stdout, stderr := fail(t, args...)
			if status != test.status || stdout != "" {
				t.Errorf("exit status %d and stdout %q, want %d and none", status, stdout, test.status)
			}
			lines := slices.DeleteFunc(strings.Split(strings.TrimSuffix(stderr, "\n"), "\n"), func(line string) bool {
				return strings.Contains(line, " level=INFO ") // what was read, and what is in use
			})
			if len(lines) != len(test.stderr) {
				t.Fatalf("stderr has %d lines, want %d:\n%s", len(lines), len(test.stderr), stderr)
			}
			for i, line := range lines {
				if !strings.HasPrefix(line, test.stderr[i]) {
					t.Errorf("line %d of stderr is %q, want %q", i+1, line, test.stderr[i])
				}
			}
		})
	}
	if status, _, stderr := fail(t, "-h"); status != exitOK || !strings.HasPrefix(stderr, "Usage") {
		t.Errorf("-h: exit status %d, %s", status, stderr)
	}
}

// TestLeaksOfTheProgram: no session can be used with what the program prints or stores.
func TestLeaksOfTheProgram(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	p := launch(t, "-db", filepath.Join(directory, "shop.db"))
	bob := visitor(t, p.url, "bob")
	bob.login(t, p.url, "bob@example.com", "bob")
	bob.post(t, p.url+"/login", map[string]any{"identifier": "bob@example.com", "password": "mistyped-secret"}).is(t, http.StatusUnauthorized)
	bob.get(t, p.url+"/me").from(t, "cache")
	while := files(t, directory) // includes the write-ahead log
	bob.post(t, p.url+"/logout", nil).is(t, http.StatusNoContent)
	status := bob.get(t, p.url+"/metrics").text + bob.get(t, p.url+"/stats").text
	p.stop(t)
	secrets := append([]string{"mistyped-secret"}, bob.tokens...)
	noneOf(t, "output", p.stdout.String()+p.stderr.String(), secrets)
	noneOf(t, "/metrics and /stats", status, secrets)
	noneOf(t, "database", while+files(t, directory), secrets)
	if !strings.Contains(p.stderr.String(), "logged in") {
		t.Error("the program logs nothing, so this test shows nothing")
	}
}

// write makes a configuration file of text.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fxcache.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// files returns the content of all files in directory.
func files(t *testing.T, directory string) string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) == 0 {
		t.Fatalf("no files in %s: %v", directory, err)
	}
	var all strings.Builder
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
	}
	return all.String()
}

// noneOf fails the test if text contains any of secrets.
func noneOf(t *testing.T, where, text string, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s: has the secret %q", where, secret)
		}
	}
}

// TestStorySplit: sessions on Redis, and the catalog in the memory of the program. The sessions are
// on Redis, and no product is. A second instance on the same Redis knows the session of the first.
func TestStorySplit(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	content, err := os.ReadFile("configs/split.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := write(t, strings.ReplaceAll(string(content), "127.0.0.1:6379", server.Addr()))
	database := filepath.Join(t.TempDir(), "shop.db")
	here := launch(t, "-db", database, "-config", config)
	story{here: here.url, there: here.url, cached: "cache"}.tell(t)
	bob := visitor(t, here.url, "bob")
	newClient(t).get(t, here.url+"/products/1").is(t, http.StatusOK)
	reply, err := server.Do(t.Context(), "KEYS", "*")
	if keys := fmt.Sprint(reply); err != nil || !strings.Contains(keys, "session") || strings.Contains(keys, "product") {
		t.Errorf("on Redis are %v, %v", keys, err)
	}
	there := launch(t, "-db", database, "-config", config)
	bob.get(t, there.url+"/me").from(t, "cache")
	bob.post(t, there.url+"/logout", nil).is(t, http.StatusNoContent)
	program(t, bob.token()).get(t, here.url+"/me").is(t, http.StatusUnauthorized)
	here.stop(t)
	there.stop(t)
}
