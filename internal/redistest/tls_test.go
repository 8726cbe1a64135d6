package redistest_test

import (
	"crypto/tls"
	"testing"

	"github.com/fxcache/fxcache/internal/redistest"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.TLS())
	wantReply(t, s, "PONG", "PING")
	wantReply(t, dial(t, s), "PONG", "PING")
	pair, err := tls.LoadX509KeyPair(s.TLSFiles().Cert, s.TLSFiles().Key)
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]*tls.Config{
		"no TLS":                nil,
		"no client certificate": {RootCAs: s.TLSConfig().RootCAs, ServerName: "localhost"},
		"other authority":       {Certificates: []tls.Certificate{pair}, ServerName: "localhost"},
		"other name":            {RootCAs: s.TLSConfig().RootCAs, Certificates: []tls.Certificate{pair}, ServerName: "example.org"},
		"other client":          foreign(t, s),
	} {
		// With TLS 1.3 the server's refusal of a client comes with the first read.
		conn, err := redistest.Dial(t.Context(), s.Addr(), config)
		if err == nil {
			_, err = conn.Do(t.Context(), "PING")
			_ = conn.Close() // only err counts here
		}
		if err == nil {
			t.Errorf("%s: it answers", name)
		}
	}
}

// foreign is a configuration that trusts s, with the client certificate of another authority.
func foreign(t *testing.T, s *redistest.Server) *tls.Config {
	t.Helper()
	config := s.TLSConfig()
	config.Certificates = redistest.Start(t, redistest.TLS()).TLSConfig().Certificates
	return config
}
