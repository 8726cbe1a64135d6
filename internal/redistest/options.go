package redistest

import (
	"fmt"
	"strings"
	"testing"
)

// Accounts that every data server has, in addition to those of the test.
const (
	// AdminUser has all permissions. With it, the methods of this package work whatever a test does
	// to the default user. Sentinels use it too.
	AdminUser = "redistest-admin"
	// ReplicationUser is the account of replicas. To cut a replica off, disable the account on the
	// master (ACL SETUSER redistest-replication off) and end its connection (CLIENT KILL TYPE
	// replica).
	ReplicationUser = "redistest-replication"

	ownPassword = "redistest" // of both; the servers listen on 127.0.0.1 and live for seconds
)

// Option changes how servers are started.
type Option func(*settings)

type settings struct {
	lines    []string
	password string
	tls      bool
	certs    *certificates // nil without TLS
	// Which kind of servers is without TLS in spite of the option TLS.
	plainData, plainSentinels bool
}

// Config adds lines of redis.conf to each data server, e.g. "maxmemory 8mb". They come last, so
// they override the defaults of this package.
func Config(lines ...string) Option {
	return func(s *settings) { s.lines = append(s.lines, lines...) }
}

// TLS makes every server, sentinels and the cluster bus included, accept TLS only, and only from
// clients with a certificate of the authority that is made for this start. See Server.TLSConfig.
func TLS() Option {
	return func(s *settings) { s.tls = true }
}

// PlainData and PlainSentinels undo TLS for servers that hold data, or for sentinels. Sentinels
// speak to each other in the way they speak to data, so there must be only one.
func PlainData() Option {
	return func(s *settings) { s.plainData = true }
}

// PlainSentinels is like PlainData.
func PlainSentinels() Option {
	return func(s *settings) { s.plainSentinels = true }
}

// Password sets the password of the default user of each data server. Without this option the user
// needs none.
func Password(password string) Option {
	return func(s *settings) { s.password = password }
}

// User adds an ACL user to each data server, e.g. User("app", "secret", "~app:*", "+@read").
func User(name, password string, rules ...string) Option {
	line := fmt.Sprintf("user %s on %s %s", quote(name), quote(">"+password), strings.Join(rules, " "))
	return func(s *settings) { s.lines = append(s.lines, line) }
}

func newSettings(t testing.TB, options []Option) *settings {
	t.Helper()
	s := &settings{}
	for _, option := range options {
		option(s)
	}
	if s.tls {
		certs, err := makeCertificates(t.TempDir())
		if err != nil {
			t.Fatalf("redistest: certificates: %v", err)
		}
		s.certs = certs
	}
	return s
}

// listen returns the lines that every server needs, sentinels too.
func (s *settings) listen(port int, dir string, sentinel bool) []string {
	lines := []string{"bind 127.0.0.1", "protected-mode no", "daemonize no", "dir " + quote(dir)}
	if s.plain(sentinel) {
		lines = append(lines, fmt.Sprint("port ", port))
	} else {
		lines = append(lines, "port 0", fmt.Sprint("tls-port ", port))
	}
	if s.certs == nil {
		return lines
	}
	if !s.plainData {
		lines = append(lines, "tls-replication yes")
	}
	return append(lines, "tls-auth-clients yes",
		"tls-ca-cert-file "+quote(s.certs.client.CA),
		"tls-cert-file "+quote(s.certs.serverCert),
		"tls-key-file "+quote(s.certs.serverKey),
	)
}

// plain reports whether sentinels, or servers that hold data, are without TLS.
func (s *settings) plain(sentinel bool) bool {
	return s.certs == nil || sentinel && s.plainSentinels || !sentinel && s.plainData
}

// data returns the lines for servers that hold data. topology holds the lines that a cluster or
// sentinel adds.
func (s *settings) data(topology []string) []string {
	lines := []string{
		`save ""`, "appendonly no",
		"enable-debug-command local",
		// Remove the delays of replication that are meant for a loaded network.
		"repl-diskless-sync yes", "repl-diskless-sync-delay 0", "repl-ping-replica-period 1", "shutdown-timeout 1",
		fmt.Sprintf("user %s on >%s ~* &* +@all", AdminUser, ownPassword),
		fmt.Sprintf("user %s on >%s +psync +replconf +ping", ReplicationUser, ownPassword),
		"masteruser " + ReplicationUser, "masterauth " + ownPassword,
	}
	if s.password != "" {
		lines = append(lines, "requirepass "+quote(s.password))
	}
	lines = append(lines, topology...)
	return append(lines, s.lines...)
}

// quote quotes text as one argument in redis.conf.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(text) {
		if c < ' ' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
