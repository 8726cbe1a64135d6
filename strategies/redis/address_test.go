package redis_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

const canary = "s3cret"

// decoded makes a strategy from its section, as an application does.
func decoded(t *testing.T, section string) (driver.Strategy, error) {
	t.Helper()
	source, err := config.Load(config.YAML("redis: " + section))
	if err != nil {
		t.Fatal(err)
	}
	return redis.Factory().New(source.At("redis"))
}

// Every address is host:port and nothing else; an error never repeats one.
func TestAddresses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	for _, address := range []string{
		"localhost:6379", "redis.example.com:1", "redis.example.com.:65535", "redis_1:6379", "10.0.0.1:6379", "[::1]:6379", "[fe80::1%eth0]:6379",
		"xn--mller-kva.example:6379", "1.example:6379", "a-1:6379", "UPPER.Example:6379", long + ":6379", "3com:6379",
		"unix:/run/redis.sock", "unix:///run/redis/redis-1.sock",
	} {
		if _, err := redis.New(redis.Options{Addresses: []string{address}}); err != nil {
			t.Errorf("%q is refused: %v", address, err)
		}
	}
	for _, address := range []string{
		"", " ", ":", "localhost", "localhost:", ":6379", "localhost:0", "localhost:65536", "localhost:+1", "localhost:redis", "localhost:63 79",
		"::1:6379", "::1", "[::1]", "[::1]:", "[127.0.0.1]:6379", "[localhost]:6379", "127.0.0.256:6379", "1.2.3:6379", "127.1:6379", "12345:6379",
		"/run/redis.sock", "unix:", "unix:/", "unix://", "unix:run/redis.sock", "unix:/" + strings.Repeat("a", 104), "unix:/run/a\x00b",
		"unix://u:" + canary + "@/run/redis.sock", "unix:/run/redis.sock?password=" + canary, "a:1 b:2", " a:1", "a:1 ", "a:1\n", "a:1,b:2", "a b:1", "-a:1", "a..b:1", ".a:1", long + "a:1", "müller:1",
		"redis://" + canary + "@h:6379/0", "redis://:" + canary + "@127.0.0.1:1/0", ":" + canary + "@127.0.0.1:1", "u:" + canary + "@h:6379",
		canary + "@h:6379", "h:6379,password=" + canary, "h:6379;password=" + canary, "h:6379/" + canary, "h:6379?password=" + canary, "h:" + canary,
		"//:" + canary + "@h:6379", strings.Repeat("a.", 130) + "a:1",
	} {
		for _, options := range []redis.Options{
			{Addresses: []string{address}},
			{Mode: redis.Cluster, Addresses: []string{"a:1", address}},
			{Mode: redis.Sentinel, Addresses: []string{"a:1", address, "b:2"}},
		} {
			_, err := redis.New(options)
			var option *driver.OptionError
			want := fmt.Sprintf("addresses[%d]", min(1, len(options.Addresses)-1))
			if !errors.As(err, &option) || option.Name != want {
				t.Errorf("%q: %v, want a problem with %s", address, err, want)
				continue
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, option), canary) || len(address) > 6 && strings.Contains(err.Error(), address) {
				t.Errorf("%q is repeated: %v", address, err)
			}
		}
	}
}

// Keys that exclude each other, and addresses in address_map, are refused without being repeated.
func TestSecurityOptions(t *testing.T) {
	t.Parallel()
	for section, want := range map[string]string{
		"{sentinel_tls: {}}": "sentinel_tls",
		"{mode: sentinel, sentinel_tls: {min_version: '1.1'}}":          "sentinel_tls.min_version",
		"{mode: sentinel, sentinel_tls: {cert: x}}":                     "sentinel_tls",
		"{addresses: ['unix:/run/redis.sock'], tls: {}}":                "tls",
		"{mode: cluster, addresses: ['unix:/run/redis.sock']}":          "addresses",
		"{address_map: {'10.0.0.5': '127.0.0.1:1'}}":                    "address_map",
		"{address_map: {'10.0.0.5:1': 'u:" + canary + "@127.0.0.1:1'}}": "address_map",
		"{address_map: {'10.0.0.5:1': 'unix:/run/redis.sock'}}":         "address_map",
		"{url: 'unix:///run/" + canary + "'}":                           "url",
	} {
		_, err := decoded(t, section)
		var problems *config.Error
		if !errors.As(err, &problems) || len(problems.Problems) != 1 || !strings.HasPrefix(problems.Problems[0].Path, "redis."+want) {
			t.Errorf("%s: %v, want one problem with %s", section, err, want)
		}
		if strings.Contains(fmt.Sprint(err), canary) {
			t.Errorf("%s: %v", section, err)
		}
	}
	if _, err := decoded(t, "{mode: sentinel, tls: {}, sentinel_tls: {enabled: false}, address_map: {'10.0.0.5:6379': '127.0.0.1:7001'}}"); err != nil {
		t.Error(err)
	}
}

// A URL says in one what five keys say.
func TestURL(t *testing.T) {
	t.Parallel()
	for _, section := range []string{
		"{url: 'redis://h'}", "{url: 'redis://h:1'}", "{url: 'redis://h:1/'}", "{url: 'redis://h:1/3'}", "{url: 'rediss://u:p@h/0'}", "{url: 'REDIS://[::1]:1/0'}",
		"{url: 'redis://:p%40%2F%23%3F%25@h'}", "{url: 'rediss://h', tls: {min_version: '1.3'}}", "{url: 'redis://h', tls: {enabled: false}}",
		"{url: 'redis://u@h'}", "{url: 'redis://h', mode: cluster}",
	} {
		if _, err := decoded(t, section); err != nil {
			t.Errorf("%s: %v", section, err)
		}
	}
	for section, want := range map[string]string{
		"{url: '" + canary + "'}":                                   "redis.url (inline): must be redis://",
		"{url: 'http://:" + canary + "@h'}":                         "redis.url (inline): must be redis://",
		"{url: 'redis:" + canary + "'}":                             "redis.url (inline): must be redis://",
		"{url: 'redis://:" + canary + "@'}":                         "the host or the port is not valid",
		"{url: 'redis://:" + canary + "@:6379'}":                    "the host or the port is not valid",
		"{url: 'redis://:" + canary + "@h:'}":                       "the host or the port is not valid",
		"{url: 'redis://:" + canary + "@h:0'}":                      "the host or the port is not valid",
		"{url: 'redis://:" + canary + "@h:x'}":                      "percent-encoded",
		"{url: 'redis://:" + canary + "/x@h'}":                      "percent-encoded",
		"{url: 'redis://:" + canary + "#x@h'}":                      "percent-encoded",
		"{url: 'redis://:12#" + canary + "@h'}":                     "%23",
		"{url: 'redis://u:12#" + canary + "@h'}":                    "%23",
		"{url: 'redis://u:12?" + canary + "@h'}":                    "%3F",
		"{url: 'redis://u:12/" + canary + "@h'}":                    "number of the database",
		"{url: 'redis://:%zz" + canary + "@h'}":                     "percent-encoded",
		"{url: 'redis://:" + canary + " x@h'}":                      "percent-encoded",
		"{url: 'redis://:" + canary + "@h/x'}":                      "number of the database",
		"{url: 'redis://:" + canary + "@h/-1'}":                     "number of the database",
		"{url: 'redis://:" + canary + "@h/1/2'}":                    "number of the database",
		"{url: 'redis://:" + canary + "@h//'}":                      "number of the database",
		"{url: 'redis://:" + canary + "@h?db=1'}":                   "no options behind a question mark",
		"{url: 'redis://:" + canary + "@h?'}":                       "no options behind a question mark",
		"{url: 'redis://:" + canary + "@h#'}":                       "behind a #",
		"{url: 'redis://:" + canary + "@h', addresses: [h:6379]}":   "says what addresses says as well",
		"{url: 'redis://h', addresses: ['127.0.0.1:6379']}":         "says what addresses says as well",
		"{url: 'redis://h', username: " + canary + "}":              "says what username says as well",
		"{url: 'redis://h', password: " + canary + "}":              "says what password says as well",
		"{url: 'redis://h', db: 1}":                                 "says what db says as well",
		"{url: 'redis://h/1', mode: cluster}":                       "must not name a database if mode is cluster",
		"{url: 'redis://" + canary + "@h', mode: sentinel}":         "if mode is sentinel",
		"{url: 'redis://" + canary + "@h', tls: {}}":                "write rediss://",
		"{url: 'redis://" + canary + "@h', tls: {ca: a}}":           "write rediss://",
		"{url: 'rediss://" + canary + "@h', tls: {enabled: false}}": "tls.enabled is false",
	} {
		_, err := decoded(t, section)
		var problems *config.Error
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, want %q", section, err, want)
		}
	}
}

// The URL is used, with the password that it holds, and so is one in a file.
func TestURLConnects(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	password := "p@ss/w:rd?#%"
	server := redistest.Start(t, redistest.User("shop", password, "~*", "&*", "+@all"))
	link := url.URL{Scheme: "redis", User: url.UserPassword("shop", password), Host: server.Addr(), Path: "/3"}
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(link.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, section := range []string{fmt.Sprintf("{url: %q}", link.String()), fmt.Sprintf("{url_file: %q}", file)} {
		strategy, err := decoded(t, section)
		if err != nil {
			t.Fatal(err)
		}
		s := strategy.(*redis.Strategy)
		if err := s.Init(t.Context(), drivertest.NewInjector(t, cache.Options{Timeout: 5 * time.Second})); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Destroy(context.Background()) })
		if err := s.Set(t.Context(), "app:k", []byte("v"), driver.SetOptions{TTL: time.Minute}); err != nil {
			t.Errorf("%v", err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%x", "%s", "%q", "%t"} {
			if text := fmt.Sprintf(verb, s); strings.Contains(text, password) {
				t.Errorf("the password is in %s", text)
			}
		}
	}
}

// tls is used where the section is there, unless enabled says that it is not.
func TestTLSIsExplicit(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	plain, secure := redistest.Start(t), redistest.Start(t, redistest.TLS())
	files := secure.TLSFiles()
	certificates := fmt.Sprintf("ca: %q, cert: %q, key: %q", files.CA, files.Cert, files.Key)
	for section, want := range map[string]*redistest.Server{
		"{}":                        plain,
		"{tls: {enabled: false}}":   plain,
		"{tls: {enabled: 'false'}}": plain,
		"{tls: {enabled: false, server_name: redis.prod, min_version: '1.3', ca: /nowhere}}": plain,
		"{tls: {enabled: false, " + certificates + "}}":                                      plain,
		"{tls: {}}":                                    nil, // against servers whose authority nobody knows
		"{tls: {ca: ''}}":                              nil,
		"{tls: {enabled: true}}":                       nil,
		"{tls: {min_version: '1.2'}}":                  nil,
		"{tls: {" + certificates + "}}":                secure,
		"{tls: {enabled: true, " + certificates + "}}": secure,
	} {
		for _, server := range []*redistest.Server{plain, secure} {
			strategy, err := decoded(t, fmt.Sprintf("{addresses: [%q], %s", server.Addr(), strings.TrimPrefix(section, "{")))
			if err != nil {
				t.Errorf("%s: %v", section, err)
				continue
			}
			s := strategy.(*redis.Strategy)
			quiet := cache.Options{Timeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler)}
			if err := s.Init(t.Context(), drivertest.NewInjector(t, quiet)); err != nil {
				t.Fatal(err)
			}
			_, _, err = s.Get(t.Context(), "app:k")
			if (err == nil) != (server == want) {
				t.Errorf("%s: on the server with TLS: %t: %v", section, server == secure, err)
			}
			_ = s.Destroy(context.Background())
		}
	}
	for section, want := range map[string]string{
		"{tls: }":                   "redis.tls (inline): has no value",
		"{tls: true}":               "redis.tls (inline): must be a section of keys, not true or false",
		"{tls: {enabled: maybe}}":   "redis.tls.enabled (inline): must be true or false",
		"{tls: {enabled: }}":        "redis.tls.enabled (inline): has no value",
		"{tls: {cert: a}}":          "redis.tls (inline): needs cert and key together",
		"{tls: {server_name: a:1}}": "redis.tls.server_name (inline): must be a host name or an IP address",
	} {
		if _, err := decoded(t, section); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", section, err, want)
		}
	}
}

// A private key where its path belongs is in no error, and neither is one without its PEM.
func TestKeysInPlaceOfPaths(t *testing.T) {
	t.Parallel()
	der := append([]byte{0x30, 0x2e, 0x02, 0x01}, make([]byte, 60)...)
	copy(der[10:], "hunter2-in-der")
	encoded := base64.StdEncoding.EncodeToString(der)
	for _, key := range []string{
		"-----BEGIN PRIVATE KEY-----\n" + encoded + "\n-----END PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----" + encoded, encoded, encoded + "\n", encoded[:40] + " " + encoded[40:],
	} {
		for name, section := range map[string]map[string]any{
			"ca": {"ca": key}, "cert": {"cert": key, "key": "/dev/null"}, "key": {"cert": "/dev/null", "key": key},
		} {
			source, err := config.Load(config.Values(map[string]any{"redis.tls": section}))
			if err != nil {
				t.Fatal(err)
			}
			_, err = redis.Factory().New(source.At("redis"))
			if err == nil || !strings.Contains(err.Error(), "redis.tls."+name+" (code): must be the path of a PEM file") || strings.Contains(err.Error(), encoded[:20]) {
				t.Errorf("%s: %v", name, err)
			}
			if text := source.String(); strings.Contains(text, encoded[:20]) {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
	// What cannot be told from a path is a file that is not there.
	folder := t.TempDir()
	none := filepath.Join(folder, "none.pem")
	if err := os.WriteFile(none, []byte("no pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string]redis.TLS{
		"tls.ca: the file cannot be read":          {CA: canary},
		"tls.ca: the file has no certificate":      {CA: none},
		"tls.cert: the file cannot be read":        {Cert: canary, Key: none},
		"tls.key: the file cannot be read":         {Cert: none, Key: canary},
		"tls.key: the file cannot be read: is a d": {Cert: none, Key: folder},
		"tls.cert: cannot be used with the key":    {Cert: none, Key: none},
	} {
		strategy, err := redis.New(redis.Options{TLS: &options})
		if err != nil {
			t.Fatal(err)
		}
		err = strategy.Init(t.Context(), drivertest.NewInjector(t, cache.Options{}))
		if err == nil || !strings.HasPrefix(err.Error(), name) || strings.Contains(err.Error(), canary) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}
