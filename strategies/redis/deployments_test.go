package redis_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
)

// deployments are settings that real deployments need, each with a server that is set up so. They
// are given as keys of cache.redis.
var deployments = map[string]func(t *testing.T) []string{
	"db": with(nil, "db: 3"),
	"db in a URL": func(t *testing.T) []string {
		return []string{"url: redis://" + redistest.Start(t).Addr() + "/3"}
	},
	"password": with([]redistest.Option{redistest.Password("secret")}, "password: secret"),
	// Redis accepts a password for a user who needs none.
	"a password that is not needed": with(nil, "password: secret"),
	"TLS with a client's certificate": func(t *testing.T) []string {
		server := redistest.Start(t, redistest.TLS())
		return tlsAt(server, server.Addr())
	},
	"TLS 1.3": func(t *testing.T) []string {
		server := redistest.Start(t, redistest.TLS())
		return tlsAt(server, server.Addr(), `, min_version: "1.3"`)
	},
	"TLS without a client's certificate": func(t *testing.T) []string {
		server := redistest.Start(t, redistest.TLS(), redistest.Config("tls-auth-clients no"))
		return at(server.Addr(), fmt.Sprintf("tls: {ca: %q}", server.TLSFiles().CA))
	},
	"a server name": func(t *testing.T) []string {
		server := redistest.Start(t, redistest.TLS())
		return tlsAt(server, server.Addr(), ", server_name: localhost")
	},
	"rediss in a URL": func(t *testing.T) []string {
		server := redistest.Start(t, redistest.TLS(), redistest.Password("s%c"))
		files := server.TLSFiles()
		return []string{"url: rediss://:s%25c@" + server.Addr(), fmt.Sprintf("tls: {ca: %q, cert: %q, key: %q}", files.CA, files.Cert, files.Key)}
	},
	"a Unix socket": func(t *testing.T) []string {
		path := filepath.Join(t.TempDir(), "redis.sock")
		redistest.Start(t, redistest.Config("unixsocket "+path))
		return at("unix:" + path)
	},
	"a Unix socket as a URL": func(t *testing.T) []string {
		path := filepath.Join(t.TempDir(), "redis.sock")
		redistest.Start(t, redistest.Config("unixsocket "+path), redistest.Password("secret"))
		return at("unix://"+path, "password: secret", "db: 2")
	},
	"Sentinel with TLS": func(t *testing.T) []string {
		s := redistest.StartSentinel(t, 1, 1, redistest.TLS())
		return append(tlsAt(s.Sentinels[0], s.Sentinels[0].Addr()), "mode: sentinel")
	},
	"Sentinel with TLS, its sentinels without": func(t *testing.T) []string {
		s := redistest.StartSentinel(t, 1, 1, redistest.TLS(), redistest.PlainSentinels())
		return append(tlsAt(s.Nodes[0], s.Sentinels[0].Addr()), "mode: sentinel", "sentinel_tls: {enabled: false}")
	},
	"Sentinel without TLS, its sentinels with": func(t *testing.T) []string {
		s := redistest.StartSentinel(t, 1, 1, redistest.TLS(), redistest.PlainData())
		section := tlsAt(s.Sentinels[0], s.Sentinels[0].Addr())
		section[0] = "sentinel_" + section[0]
		return append(section, "mode: sentinel")
	},
	"Sentinel with users": func(t *testing.T) []string {
		s := redistest.StartSentinel(t, 1, 1, redistest.User("app", "data-secret", "~*", "&*", "+@all"))
		_, err := s.Sentinels[0].Do(t.Context(), "ACL", "SETUSER", "watcher", "on", ">watch-secret", "allchannels", "-@all", "+auth", "+hello", "+ping", "+role",
			"+subscribe", "+unsubscribe", "+punsubscribe", "+sentinel|get-master-addr-by-name", "+sentinel|sentinels")
		if err != nil {
			t.Fatal(err)
		}
		return at(s.SentinelAddrs()[0], "mode: sentinel", "username: app", "password: data-secret", "db: 1",
			"sentinel_username: watcher", "sentinel_password: watch-secret")
	},
	"Cluster with TLS": func(t *testing.T) []string {
		c := redistest.StartCluster(t, 3, 0, redistest.TLS())
		return append(tlsAt(c.Nodes[0], c.Nodes[0].Addr()), "mode: cluster")
	},
	"Cluster behind a NAT": func(t *testing.T) []string {
		c := redistest.StartCluster(t, 1, 0)
		address := c.Nodes[0].Addr()
		_, port, _ := strings.Cut(address, ":")
		if _, err := c.Nodes[0].Do(t.Context(), "CONFIG", "SET", "cluster-announce-ip", "198.51.100.7"); err != nil {
			t.Fatal(err)
		}
		return at(address, "mode: cluster", fmt.Sprintf("address_map: {%q: %q}", "198.51.100.7:"+port, address))
	},
	"Sentinel behind a NAT": func(t *testing.T) []string {
		s := redistest.StartSentinel(t, 1, 1)
		proxy := redistest.NewProxy(t, s.Nodes[0].Addr())
		t.Cleanup(func() {
			if proxy.Accepted() == 0 {
				t.Error("the master was reached where the sentinels say, and not where address_map says")
			}
		})
		return at(s.SentinelAddrs()[0], "mode: sentinel", fmt.Sprintf("address_map: {%q: %q}", s.Nodes[0].Addr(), proxy.Addr()))
	},
}

// Settings that real deployments need work with real servers, and satisfy require.
func TestDeployments(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	for name, section := range deployments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := configured(t, append(section(t), "require: true")...)
			s.works(name)
			s.must(s.Set(t.Context(), "n:large", make([]byte, 32<<10), newOptions)) // over a connection of its own
			for _, key := range []string{"n:k", "n:large"} {
				if _, found, err := s.Get(t.Context(), key); !found || err != nil {
					t.Errorf("Get(%s): %t, %v", key, found, err)
				}
			}
			if s.log.count("level=ERROR")+s.log.count("level=WARN") > 0 {
				t.Errorf("the log is not quiet: %s", s.log.all())
			}
		})
	}
}
