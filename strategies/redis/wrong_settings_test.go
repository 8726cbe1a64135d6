package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/redistest"
)

// wrongSetting is a configuration that cannot work with a server that is there.
type wrongSetting struct {
	section func(t *testing.T) []string // of cache.redis
	words   []string                    // what the log and the errors of operations have, apart from the key to look at
	key     string
	passes  bool     // it may pass by itself, so even require does not keep the application from starting
	never   []string // what must not be shown
}

func at(address string, more ...string) []string {
	return append(more, fmt.Sprintf("addresses: [%q]", address))
}

func with(options []redistest.Option, more ...string) func(t *testing.T) []string {
	return func(t *testing.T) []string { return at(redistest.Start(t, options...).Addr(), more...) }
}

// tlsAt is the section for a server with TLS.
func tlsAt(server *redistest.Server, address string, more ...string) []string {
	files := server.TLSFiles()
	return at(address, fmt.Sprintf("tls: {ca: %q, cert: %q, key: %q%s}", files.CA, files.Cert, files.Key, strings.Join(more, "")))
}

var wrongSettings = map[string]wrongSetting{
	"wrong password": {
		section: with([]redistest.Option{redistest.Password("right-one")}, "password: wrong-secret"),
		words:   []string{"redis at 127.0.0.1:", "WRONGPASS invalid username-password pair"}, key: "password", never: []string{"wrong-secret"},
	},
	"no password": {
		section: with([]redistest.Option{redistest.Password("right-one")}),
		words:   []string{"NOAUTH"}, key: "password",
	},
	"wrong user": {
		section: with(nil, "username: somebody", "password: wrong-secret"),
		words:   []string{"WRONGPASS"}, key: "username", never: []string{"wrong-secret", "somebody"},
	},
	"wrong user in a URL": {
		section: func(t *testing.T) []string {
			return []string{"url: redis://somebody:wrong-secret@" + redistest.Start(t).Addr()}
		},
		words: []string{"WRONGPASS"}, key: "password", never: []string{"wrong-secret", "somebody"},
	},
	"a user without rights": {
		section: with([]redistest.Option{redistest.User("somebody", "secret-word", "~n:*")}, "username: somebody", "password: secret-word"),
		words:   []string{"NOPERM"}, key: "username", never: []string{"secret-word", "somebody"},
	},
	"a user without rights and a database": {
		section: with([]redistest.Option{redistest.User("somebody", "secret-word", "~n:*")}, "username: somebody", "password: secret-word", "db: 1"),
		words:   []string{"NOPERM"}, key: "username", never: []string{"secret-word", "somebody"},
	},
	"no such database": {
		section: with(nil, "db: 99"), words: []string{"DB index is out of range"}, key: "db",
	},
	"TLS, and the server is without": {
		section: with(nil, "tls: {}"), words: []string{"the server answers without it"}, key: "tls",
	},
	"no TLS, and the server has it": {
		section: with([]redistest.Option{redistest.TLS()}), words: []string{"expects TLS"}, key: "tls",
	},
	"a foreign authority": {
		section: with([]redistest.Option{redistest.TLS()}, "tls: {}"), words: []string{"not trusted", "unknown authority"}, key: "tls.ca",
	},
	"another server name": {
		section: func(t *testing.T) []string {
			server := redistest.Start(t, redistest.TLS())
			return tlsAt(server, server.Addr(), ", server_name: redis.example.com")
		},
		words: []string{"for another name", "redis.example.com"}, key: "tls.server_name",
	},
	"no certificate of our own": {
		section: func(t *testing.T) []string {
			server := redistest.Start(t, redistest.TLS())
			return at(server.Addr(), fmt.Sprintf("tls: {ca: %q}", server.TLSFiles().CA))
		},
		words: []string{"certificate"}, key: "tls.cert",
	},
	"an expired certificate": {
		section: func(t *testing.T) []string {
			ca := filepath.Join(t.TempDir(), "ca.pem")
			return at(expired(t, ca), fmt.Sprintf("tls: {ca: %q}", ca))
		},
		words: []string{"its certificate cannot be used", "expired"}, key: "tls",
	},
	"a user without rights, on Valkey": {
		section: func(t *testing.T) []string {
			return at(redistest.Fake(t, func([]string) string {
				return "-NOPERM User somebody has no permissions to run the 'hello' command\r\n"
			}), "username: somebody", "password: secret-word")
		},
		words: []string{"NOPERM User [redacted] has no permissions"}, key: "username", never: []string{"somebody"},
	},
	"sentinel mode, and a plain server": {
		section: with(nil, "mode: sentinel"), words: []string{"mode is sentinel", "neither a node of a cluster nor a sentinel"}, key: "mode",
	},
	"standalone mode, and a sentinel": {
		section: func(t *testing.T) []string { return at(redistest.StartSentinel(t, 1, 1).SentinelAddrs()[0]) },
		words:   []string{"mode is standalone", "is a sentinel"}, key: "mode",
	},
	"standalone mode, and a cluster": {
		section: func(t *testing.T) []string { return at(redistest.StartCluster(t, 1, 0).Addrs()[0]) },
		words:   []string{"mode is standalone", "is a node of a cluster"}, key: "mode",
	},
	"cluster mode, and a plain server": {
		section: with(nil, "mode: cluster"), words: []string{"mode is cluster", "neither a node of a cluster"}, key: "mode",
	},
	"cluster mode, and a sentinel": {
		section: func(t *testing.T) []string {
			return at(redistest.StartSentinel(t, 1, 1).SentinelAddrs()[0], "mode: cluster")
		},
		words: []string{"mode is cluster", "is a sentinel"}, key: "mode",
	},
	"no such master": {
		section: func(t *testing.T) []string {
			return at(redistest.StartSentinel(t, 1, 1).SentinelAddrs()[0], "mode: sentinel", "sentinel_master: theirs")
		},
		words: []string{"No such master with that name"}, key: "sentinel_master",
	},
	"wrong password for a sentinel": {
		section: func(t *testing.T) []string {
			return at(redistest.StartSentinel(t, 1, 1).SentinelAddrs()[0], "mode: sentinel", "sentinel_username: somebody", "sentinel_password: wrong-secret")
		},
		words: []string{"WRONGPASS"}, key: "sentinel_password", never: []string{"somebody", "wrong-secret"},
	},
	"a closed port": {
		section: func(*testing.T) []string { return at("127.0.0.1:1") },
		words:   []string{"connection refused", "127.0.0.1:1"}, key: "addresses", passes: true,
	},
	"no such host": {
		section: func(*testing.T) []string { return at("redis.invalid:6379") },
		words:   []string{"redis.invalid"}, key: "addresses", passes: true,
	},
	"no such socket": {
		section: func(*testing.T) []string { return at("unix:/nowhere/redis.sock") },
		words:   []string{"/nowhere/redis.sock", "no such file"}, key: "addresses", passes: true,
	},
	"a web server": {
		section: func(t *testing.T) []string {
			server := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(server.Close)
			return at(server.Listener.Addr().String())
		},
		words: []string{"not a Redis server"}, key: "addresses",
	},
	"a web server with TLS": {
		section: func(t *testing.T) []string {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			t.Cleanup(server.Close)
			return at(server.Listener.Addr().String(), "tls: {}")
		},
		words: []string{"not trusted"}, key: "tls.ca",
	},
	"a server that hangs up": {
		section: func(t *testing.T) []string {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = listener.Close() })
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					_ = conn.Close()
				}
			}()
			return at(listener.Addr().String())
		},
		words: []string{"closes new connections without an answer"}, key: "addresses", passes: true,
	},
	"protected mode": { // Redis refuses connections from elsewhere, and a test has no elsewhere
		section: func(t *testing.T) []string {
			return at(redistest.Fake(t, func([]string) string {
				return "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user." +
					strings.Repeat(" In this mode connections are only accepted from the loopback interface.", 20) + "\r\n"
			}))
		},
		words: []string{"DENIED Redis is running in protected mode"}, key: "password",
	},
	"a server that repeats what it does not understand": {
		section: func(t *testing.T) []string {
			return at(redistest.Fake(t, func(args []string) string { return "-ERR what is " + strings.Join(args, " ") + "?\r\n" }),
				"username: somebody", "password: wrong-secret")
		},
		words: []string{"what is HELLO 3"}, never: []string{"somebody", "wrong-secret"}, passes: true,
	},
	"too many clients": {
		section: func(t *testing.T) []string {
			server := redistest.Start(t)
			conn, err := server.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if _, err := conn.Do(t.Context(), "CONFIG", "SET", "maxclients", 1); err != nil {
				t.Fatal(err)
			}
			return at(server.Addr())
		},
		words: []string{"max number of clients reached"}, key: "connections", passes: true,
	},
}

// expired starts a server whose certificate, which it writes to a file, has expired. It returns the
// address.
func expired(t *testing.T, ca string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// What a configuration that can never work ends in: a log that says at once what the server said
// and which key to look at, errors that say so too, and no start if the application requires its
// Redis.
func TestWrongSettings(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for name, test := range wrongSettings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			words := test.words
			if test.key != "" {
				words = append(words, "redis."+test.key)
			}
			section := test.section(t)
			s, err := initialise(t, section...)
			logs := err == nil
			if logs {
				err = s.failsWith(words)
			}
			shown := fmt.Sprintf("%v %+v", err, err)
			for _, word := range words {
				if !strings.Contains(shown, word) {
					t.Errorf("the error %q has no %q", shown, word)
				}
				if logs && s.log.count(word) == 0 {
					t.Errorf("the log %q has no %q", s.log.all(), word)
				}
			}
			_, err = initialise(t, append(section, "require: true")...)
			if (err == nil) != test.passes {
				t.Errorf("with require Init returns %v; want an error: %t", err, !test.passes)
			}
			for _, never := range test.never {
				if strings.Contains(shown+fmt.Sprint(err)+s.log.all(), never) {
					t.Errorf("%q is shown in %q, %v or %s", never, shown, err, s.log.all())
				}
			}
		})
	}
}

// failsWith reads until the error has all words. A hung TLS handshake takes a second to say so.
func (s *started) failsWith(words []string) (failure error) {
	s.Helper()
	until(s.TB, func() error {
		_, found, err := s.Get(s.Context(), "n:k")
		if failure = err; found || !errors.Is(err, driver.ErrUnavailable) {
			return fmt.Errorf("Get: %t, %w; want ErrUnavailable", found, err)
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				return fmt.Errorf("%w has no %q", err, word)
			}
		}
		return nil
	})
	return failure
}

// A server without memory is used, and what it refuses says why.
func TestNoMemory(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	s, err := initialise(t, at(redistest.Start(t, redistest.Config("maxmemory 1", "maxmemory-policy noeviction")).Addr(), "require: true")...)
	s.must(err)
	err = s.Set(t.Context(), "n:k", []byte("v"), newOptions)
	if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "OOM: its maxmemory is used up") {
		t.Errorf("Set: %v", err)
	}
}
