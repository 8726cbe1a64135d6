package fxcache_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/strategies/noop"
)

// built builds an application with a configuration in YAML, and variables.
func built(t *testing.T, text string, variables ...string) (*cache.Service, *config.Source, error) {
	t.Helper()
	var service *cache.Service
	var source *config.Source
	err := fx.New(fxcache.Module, fx.NopLogger, fxcache.ConfigFile(file(t, "a.yaml", text)),
		fxcache.Environment("FXCACHE_", func() []string { return variables }), fx.Populate(&service, &source)).Err()
	return service, source, err
}

// A zero or an empty name means what it says, or is refused; it is never the default.
func TestZeroes(t *testing.T) {
	t.Parallel()
	service, source, err := built(t, "cache: {lock_wait: 0s, default_ttl: 0s, max_ttl: 1h}")
	if err != nil {
		t.Fatal(err)
	}
	if o := service.Options(); o.LockWait != 0 || o.DefaultTTL != time.Hour || !strings.Contains(source.String(), "lock_wait: 0s") || !strings.Contains(source.String(), "default_ttl: 1h0m0s") {
		t.Errorf("lock_wait %v, default_ttl %v, in\n%s", o.LockWait, o.DefaultTTL, source)
	}
	redis := "{strategy: redis, namespace: shop, redis: {%s}}"
	for section, path := range map[string]string{
		"{timeout: 0s}": "cache.timeout", "{max_ttl: 0}": "cache.max_ttl", "{namespace: ''}": "cache.namespace", "{codec: ''}": "cache.codec", "{strategy: ''}": "cache.strategy",
		"{max_tags: 0}": "cache.max_tags", "{max_key_bytes: 0}": "cache.max_key_bytes", "{breaker_failures: 0}": "cache.breaker_failures", "{breaker_pause: 0s}": "cache.breaker_pause",
		"{max_concurrent_loads: 0}": "cache.max_concurrent_loads", "{max_pending_revocations: 0}": "cache.max_pending_revocations", "{max_value_bytes: 0}": "cache.max_value_bytes",
		"{bigcache: {max_size: 0}}": "cache.bigcache.max_size", "{bigcache: {shards: 0}}": "cache.bigcache.shards", "{bigcache: {lease_ttl: 0s}}": "cache.bigcache.lease_ttl",
		"{bigcache: {max_invalidated_tags: 0}}":                   "cache.bigcache.max_invalidated_tags",
		fmt.Sprintf(redis, "lanes: 0"):                            "cache.redis.lanes",
		fmt.Sprintf(redis, "connections: 0"):                      "cache.redis.connections",
		fmt.Sprintf(redis, "tag_hints: 0"):                        "cache.redis.tag_hints",
		fmt.Sprintf(redis, "addresses: []"):                       "cache.redis.addresses",
		fmt.Sprintf(redis, "addresses: ''"):                       "cache.redis.addresses",
		fmt.Sprintf(redis, "addresses: ['']"):                     "cache.redis.addresses[0]",
		fmt.Sprintf(redis, "url: ''"):                             "cache.redis.url",
		fmt.Sprintf(redis, "mode: ''"):                            "cache.redis.mode",
		fmt.Sprintf(redis, "client_name: ''"):                     "cache.redis.client_name",
		fmt.Sprintf(redis, "dial_timeout: 0s"):                    "cache.redis.dial_timeout",
		fmt.Sprintf(redis, "lease_ttl: 0s"):                       "cache.redis.lease_ttl",
		fmt.Sprintf(redis, "read_buffer: 0"):                      "cache.redis.read_buffer",
		fmt.Sprintf(redis, "connection_lifetime: 0"):              "cache.redis.connection_lifetime",
		fmt.Sprintf(redis, "mode: sentinel, sentinel_master: ''"): "cache.redis.sentinel_master",
		// No zeros, but as unreasonable.
		"{timeout: 61s}": "cache.timeout", "{lock_wait: -1s}": "cache.lock_wait", fmt.Sprintf(redis, "dial_timeout: 61s"): "cache.redis.dial_timeout",
		"{bigcache: {lease_ttl: 30ns}}": "cache.bigcache.lease_ttl", "{strategy: ' redis'}": "cache.strategy", "{strategy: Redis}": "cache.strategy",
		fmt.Sprintf(redis, "username: a b"): "cache.redis.username", fmt.Sprintf(redis, "client_name: \"a\\tb\""): "cache.redis.client_name", fmt.Sprintf(redis, "client_name: ä"): "cache.redis.client_name",
	} {
		_, _, err := built(t, "cache: "+section)
		var problems *config.Error
		if !errors.As(err, &problems) || len(problems.Problems) != 1 || problems.Problems[0].Path != path {
			t.Errorf("%s: %v, want one problem with %s", section, err, path)
		}
	}
	for _, section := range []string{"{timeout: 1m}", fmt.Sprintf(redis, "dial_timeout: 1m"), fmt.Sprintf(redis, "db: 0, wait_replicas: 0, username: '', password: ''"), fmt.Sprintf(redis, "url: '', addresses: ['h:1']")} {
		if _, _, err := built(t, "cache: "+section); err != nil {
			t.Errorf("%s: %v", section, err)
		}
	}
	for section, path := range map[string]string{"{prefix: ''}": "session_cache.prefix", "{ttl: 0s}": "session_cache.ttl", "{stale_after: 0s}": "session_cache.stale_after", "{stale_after: 5ns}": "session_cache.stale_after"} {
		if _, _, err := built(t, "session_cache: "+section); err == nil || !strings.Contains(err.Error(), path+" ") {
			t.Errorf("%s: %v, want a problem with %s", section, err, path)
		}
	}
}

// The printed configuration shows the defaults that depend on other keys, and can be read again.
func TestEffectiveConfiguration(t *testing.T) {
	t.Parallel()
	for section, want := range map[string][]string{
		"{}":                                     {"lanes: 1\n", "connections: 2\n", "- 127.0.0.1:6379\n", "dial_timeout: 1s\n", "client_name: fxcache\n"},
		"{mode: cluster}":                        {"lanes: 64\n", "connections: 1\n"},
		"{mode: sentinel}":                       {"lanes: 1\n", "connections: 2\n", "sentinel_master: mymaster\n"},
		"{lanes: 7}":                             {"lanes: 7\n"},
		"{url: 'redis://h:1/2', connections: 4}": {"connections: 4\n", "addresses: []\n", "url: '[redacted]'\n"},
	} {
		_, source, err := built(t, "cache: {strategy: redis, namespace: shop, redis: "+section+"}")
		if err != nil {
			t.Fatalf("%s: %v", section, err)
		}
		for _, line := range append(want, "strategy: redis\n", "codec: json\n", "default_ttl: 720h0m0s\n", "stale_after: 5m0s\n") {
			if !strings.Contains(source.String(), line) {
				t.Errorf("%s: %q is missing in\n%s", section, line, source)
			}
		}
		if strings.Contains(section, "url") {
			continue // it is not shown
		}
		if _, again, err := built(t, source.String()); err != nil || again.String() != source.String() {
			t.Errorf("%s: what was printed is read as %v\n%s", section, err, again)
		}
	}
}

// The section of a strategy that is only the default's neighbour would be ignored in silence.
func TestSectionsOfUnselectedStrategies(t *testing.T) {
	t.Parallel()
	const unused = "is not used, because bigcache is the default: write strategy: redis beside it"
	for text, variables := range map[string][]string{
		"cache: {redis: {addresses: ['h:1']}}":                       nil,
		"cache: {redis: {}}":                                         nil,
		"cache: {redis: {db: 1}, bigcache: {max_size: 32MiB}}":       nil,
		"cache: {namespace: shop}":                                   {"FXCACHE_CACHE__REDIS__ADDRESSES=h:1"},
		"{cache: {redis: {db: 1}}, session_cache: {strategy: noop}}": nil,
	} {
		if _, _, err := built(t, text, variables...); err == nil || !strings.Contains(err.Error(), "cache.redis (") || !strings.Contains(err.Error(), unused) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{
		"cache: {strategy: bigcache, redis: {addresses: ['h:1']}}", "cache: {bigcache: {max_size: 32MiB}}", "cache: {strategy: noop, redis: {x: 1}, bigcache: {}}",
	} {
		if _, _, err := built(t, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, _, err := built(t, "cache: {redis: {db: 1}}", "FXCACHE_CACHE__STRATEGY=bigcache"); err != nil {
		t.Error(err)
	}
	own := fx.Options(
		fxcache.Register(driver.Factory{Name: "own", New: func(driver.Decoder) (driver.Strategy, error) { return noop.Strategy{}, nil }}),
		fxcache.RegisterSession(sessioncache.Factory{Name: "mine", New: func(driver.Decoder) (sessioncache.Strategy, error) { return sessioncache.Noop{}, nil }}))
	err := newApp(own, fxcache.Override(map[string]any{"cache.own.x": 1, "session_cache.mine.x": 1})).Err()
	for _, want := range []string{"cache.own (code): is not used", "session_cache.mine (code): is not used, because default is the default"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Problems of all kinds, in all sections and from all inputs, are in one error.
func TestEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	_, _, err := built(t, `
cache:
  strategy: redis
  max_ttl: 30
  timeout: 5m
  max_tags: 0
  redis: {addresses: [h], lanes: many, connections: 3, sentinel_master: m, tls: {ca: nowhere.pem}, hosts: a}
  bigcache: 5
session_cache: {stale_after: 1ns, prefix: '', ttls: 1}
x-shared: {}
redis: {}
`, "FXCACHE_CACHE_CODEC=cbor", "FXCACHE_CACHE__STRATEGY=", "FXCACHE_CACHE__BIGCACHE__SHARDS=1", "FXCACHE_CACHE__NAMESPACE=${NAMESPACE}")
	var problems *config.Error
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	for _, path := range []string{
		"cache.max_ttl", "cache.timeout", "cache.max_tags", "cache.redis.addresses[0]", "cache.redis.lanes", "cache.redis.connections", "cache.redis.sentinel_master", "cache.redis.tls.ca",
		"cache.redis.hosts", "cache.bigcache", "session_cache.stale_after", "session_cache.prefix", "session_cache.ttls", "redis", "cache.strategy", "cache.namespace", "",
	} {
		found := 0
		for _, problem := range problems.Problems {
			if problem.Path == path {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d problems with %q in: %v", found, path, err)
		}
	}
	if len(problems.Problems) != 17 {
		t.Errorf("%d problems: %v", len(problems.Problems), err)
	}
}

// Files of TLS that are missing are found when the application is built, with their keys and
// without their names, which may be something else.
func TestFilesOfTLS(t *testing.T) {
	t.Parallel()
	none := file(t, "none.pem", "no certificate")
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for tls, want := range map[string]string{
		"{ca: hunter2distinct}":                       "cache.redis.tls.ca (FILE): the file cannot be read: no such file or directory in the working directory " + folder,
		"{ca: " + none + "}":                          "cache.redis.tls.ca (FILE): the file has no certificate",
		"{cert: /hunter2distinct, key: " + none + "}": "cache.redis.tls.cert (FILE): the file cannot be read: no such file or directory\n",
		"{cert: " + none + ", key: /hunter2distinct}": "cache.redis.tls.key (FILE): the file cannot be read: no such file or directory\n",
		"{cert: " + none + ", key: " + none + "}":     "cache.redis.tls.cert (FILE): cannot be used with the key",
		"{enabled: false, ca: /hunter2distinct}":      "",
	} {
		_, _, err := built(t, "cache: {strategy: redis, namespace: shop, redis: {tls: "+tls+"}}")
		said := ""
		if err != nil {
			var problems *config.Error
			if !errors.As(err, &problems) {
				t.Fatal(err)
			}
			for _, problem := range problems.Problems {
				problem.Origin = strings.Replace(filepath.Base(problem.Origin), "a.yaml", "FILE", 1)
				said += problem.String() + "\n"
			}
		}
		if !strings.HasPrefix(said, want) || (want == "") != (said == "") || strings.Contains(said, canary) || strings.Count(said, "\n") > 1 {
			t.Errorf("%s: %q, want %q", tls, said, want)
		}
	}
}
