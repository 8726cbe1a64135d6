package redis

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/fxcache/fxcache/cache/driver"
)

// TLS says how to use TLS. If Options has one, TLS is on, even if it is a zero value. Only Enabled
// can turn it off.
type TLS struct {
	// Enabled turns TLS off if it is false, whatever the other fields say. Default true.
	Enabled *bool `koanf:"enabled"`
	// CA is the path of a PEM file with the certificates to trust. Default: those of the system.
	CA string `koanf:"ca,public"`
	// Cert and Key are the paths of the client's certificate and key, in PEM.
	Cert string `koanf:"cert,public"`
	Key  string `koanf:"key,public"`
	// ServerName is the name that the server's certificate must be for. Default: the host of the
	// address.
	ServerName string `koanf:"server_name,public"`
	// MinVersion is "1.2" or "1.3". Default "1.2".
	MinVersion string `koanf:"min_version,public"`
}

// on reports whether TLS is used. t may be nil.
func (t *TLS) on() bool { return t != nil && (t.Enabled == nil || *t.Enabled) }

// hasFiles reports whether TLS is used, with files that may change. t may be nil.
func (t *TLS) hasFiles() bool { return t.on() && (t.CA != "" || t.Cert != "") }

// validate reports every unusable value. t may be nil. section is the key of t.
func (t *TLS) validate(section string, report func(name, format string, args ...any)) {
	if t == nil {
		return
	}
	if (t.Cert == "") != (t.Key == "") {
		report(section, "needs cert and key together")
	}
	for name, path := range map[string]string{".ca": t.CA, ".cert": t.Cert, ".key": t.Key} {
		if !isPath(path) {
			report(section+name, "must be the path of a PEM file, not what the file holds")
		}
	}
	if t.ServerName != "" && !isHost(t.ServerName) {
		report(section+".server_name", "must be a host name or an IP address")
	}
	if v := t.MinVersion; v != "" && v != "1.2" && v != "1.3" {
		report(section+".min_version", `must be "1.2" or "1.3"`)
	}
}

// isPath reports whether text may be a path. A key in its place, as PEM or as the base64 within
// that, would be shown to everybody.
func isPath(text string) bool {
	if strings.ContainsAny(text, "\n\r\x00") || strings.Contains(text, "-----BEGIN") {
		return false
	}
	const sequence, smallest = 0x30, 32 // how certificates and keys begin in DER, and a bound of their size
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	return err != nil || len(der) < smallest || der[0] != sequence
}

// config reads the files. It returns nil if TLS is off. Errors name the option at fault, and never
// its value. section is the key of t.
func (t *TLS) config(section string) (*tls.Config, error) {
	if !t.on() {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.MinVersion == "1.3" {
		config.MinVersion = tls.VersionTLS13
	}
	if t.CA != "" {
		pem, err := readFile(section+".ca", t.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &driver.OptionError{Name: section + ".ca", Reason: "the file has no certificate in PEM"}
		}
	}
	if t.Cert != "" {
		certificate, err := readFile(section+".cert", t.Cert)
		if err != nil {
			return nil, err
		}
		key, err := readFile(section+".key", t.Key)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return nil, &driver.OptionError{Name: section + ".cert", Reason: "cannot be used with the key: " + err.Error()}
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func readFile(name, path string) ([]byte, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the operator's
	if err == nil {
		return content, nil
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err // without the path, which may be a key
	}
	return nil, &driver.OptionError{Name: name, Reason: "the file cannot be read: " + err.Error()}
}
