package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// TLSFiles are paths of PEM files, for clients that are configured with files.
type TLSFiles struct {
	CA   string // certificate of the authority that signed both sides
	Cert string // the client's certificate
	Key  string // the client's private key
}

// certificates are those of a private authority, of a server for 127.0.0.1 and localhost, and of a
// client. They are valid for a day.
type certificates struct {
	client     TLSFiles
	serverCert string
	serverKey  string
	config     *tls.Config // of the client
	dir        string
}

func makeCertificates(dir string) (*certificates, error) {
	c := &certificates{
		dir: dir,
		client: TLSFiles{
			CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "client.pem"), Key: filepath.Join(dir, "client.key"),
		},
		serverCert: filepath.Join(dir, "server.pem"),
		serverKey:  filepath.Join(dir, "server.key"),
	}
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()),
			Subject:      pkix.Name{CommonName: name},
			NotBefore:    time.Now().Add(-time.Hour), // clocks of containers differ
			NotAfter:     time.Now().Add(24 * time.Hour),
			KeyUsage:     x509.KeyUsageDigitalSignature,
		}
	}
	authority := template("redistest authority")
	authority.IsCA, authority.BasicConstraintsValid = true, true
	authority.KeyUsage = x509.KeyUsageCertSign
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// sign writes the certificate, and its key if one is asked for.
	sign := func(of *x509.Certificate, key *ecdsa.PrivateKey, certFile, keyFile string) error {
		cert, err := x509.CreateCertificate(rand.Reader, of, authority, &key.PublicKey, authorityKey)
		if err != nil {
			return err
		}
		err = writePEM(certFile, "CERTIFICATE", cert)
		if err != nil || keyFile == "" {
			return err
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		return errors.Join(err, writePEM(keyFile, "PRIVATE KEY", private))
	}
	if err := sign(authority, authorityKey, c.client.CA, ""); err != nil {
		return nil, err
	}
	server := template("redistest server")
	server.DNSNames, server.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	// Nodes are each other's clients too: for replication, and on the cluster bus.
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	client := template("redistest client")
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, leaf := range []struct {
		of        *x509.Certificate
		cert, key string
	}{{server, c.serverCert, c.serverKey}, {client, c.client.Cert, c.client.Key}} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		if err := sign(leaf.of, key, leaf.cert, leaf.key); err != nil {
			return nil, err
		}
	}
	c.config, err = c.client.load()
	return c, err
}

// Recertify replaces the authority and all certificates by new ones, in the same files, and has the
// server use them. TLSFiles stays the same, and TLSConfig changes. Connections live on. It is for a
// server that was started alone.
func (s *Server) Recertify() {
	s.t.Helper()
	conn, err := s.Dial(s.t.Context())
	if err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
	defer func() { _ = conn.Close() }() // the replies are in
	certs, err := makeCertificates(s.settings.certs.dir)
	if err == nil {
		s.settings.certs = certs
		_, err = conn.Do(s.t.Context(), "CONFIG", "SET",
			"tls-ca-cert-file", certs.client.CA, "tls-cert-file", certs.serverCert, "tls-key-file", certs.serverKey)
	}
	if err != nil {
		s.t.Fatalf("redistest: new certificates: %v", err)
	}
}

func (f TLSFiles) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("no certificate in %s", f.CA)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{pair}, ServerName: "localhost",
	}, nil
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
