package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// The modes.
const (
	Standalone = "standalone"
	Sentinel   = "sentinel"
	Cluster    = "cluster"
)

// Options are the keys of the configuration section `cache.redis`. The zero value of each field means
// its default.
type Options struct {
	// Mode is standalone, sentinel or cluster. Default standalone.
	Mode string `koanf:"mode"`
	// Addresses of the server, of some nodes of the cluster, or of the sentinels, as host:port.
	// Default 127.0.0.1:6379.
	Addresses []string `koanf:"addresses"`
	// Username is the ACL user. Default: Redis's own default user.
	Username string `koanf:"username"`
	// Password of the user; password_file reads it from a file.
	Password cache.Secret `koanf:"password"`
	// DB is the number of the logical database; only 0 exists in a Cluster.
	DB int `koanf:"db"`
	// ClientName is what CLIENT LIST shows. Default "fxcache".
	ClientName string `koanf:"client_name"`
	// SentinelMaster is the name under which the sentinels know the master. Default "mymaster".
	SentinelMaster string `koanf:"sentinel_master"`
	// SentinelUsername and SentinelPassword are for the sentinels themselves.
	SentinelUsername string       `koanf:"sentinel_username"`
	SentinelPassword cache.Secret `koanf:"sentinel_password"`
	// TLS is used where any of its fields is set.
	TLS TLS `koanf:"tls"`
	// Connections to each node that commands are pipelined over, a power of two up to 256. Default 2,
	// in a Cluster 1.
	Connections int `koanf:"connections"`
	// ReadBuffer and WriteBuffer are those of each connection. Default 64KiB each.
	ReadBuffer  cache.Size `koanf:"read_buffer"`
	WriteBuffer cache.Size `koanf:"write_buffer"`
	// DialTimeout bounds the making of a connection. Default 1s.
	DialTimeout time.Duration `koanf:"dial_timeout"`
	// ConnectionLifetime is after how long a connection is made anew, give or take a tenth, so that all lead
	// to where the addresses lead now. Default 5m.
	ConnectionLifetime time.Duration `koanf:"connection_lifetime"`
	// Lanes is how many parts the keys are divided into, each of which lives in one slot of a Cluster;
	// InvalidateTags costs one command for each. All clients must agree. Default 1, in a Cluster 64.
	Lanes int `koanf:"lanes"`
	// LeaseTTL is how long a loader may take for its value to be stored. Default 10s.
	LeaseTTL time.Duration `koanf:"lease_ttl"`
	// WaitReplicas makes Delete and InvalidateTags wait until that many replicas have it, and fail
	// with cache.ErrNotReplicated otherwise. Zero does not wait.
	WaitReplicas int `koanf:"wait_replicas"`
}

// TLS says how to talk TLS. The zero value does not.
type TLS struct {
	// Enabled turns TLS on where no other field does.
	Enabled bool `koanf:"enabled"`
	// CA is the path of a PEM file with the certificates to trust. Default: those of the system.
	CA string `koanf:"ca"`
	// Cert and Key are the paths of the client's certificate and key, in PEM.
	Cert string `koanf:"cert"`
	Key  string `koanf:"key"`
	// ServerName is what the server's certificate must be for. Default: the host of the address.
	ServerName string `koanf:"server_name"`
	// MinVersion is "1.2" or "1.3". Default "1.2".
	MinVersion string `koanf:"min_version"`
}

// WithDefaults returns o with every zero field replaced by its default.
func (o Options) WithDefaults() Options {
	if o.Mode == "" {
		o.Mode = Standalone
	}
	if len(o.Addresses) == 0 {
		o.Addresses = []string{"127.0.0.1:6379"}
	}
	if o.ClientName == "" {
		o.ClientName = "fxcache"
	}
	if o.SentinelMaster == "" {
		o.SentinelMaster = "mymaster"
	}
	if o.ReadBuffer == 0 {
		o.ReadBuffer = 64 * cache.KiB
	}
	if o.WriteBuffer == 0 {
		o.WriteBuffer = 64 * cache.KiB
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = time.Second
	}
	if o.ConnectionLifetime == 0 {
		o.ConnectionLifetime = 5 * time.Minute
	}
	if o.LeaseTTL == 0 {
		o.LeaseTTL = 10 * time.Second
	}
	return o
}

// connections and lanes have defaults that depend on the mode, which the configuration may set later
// than WithDefaults runs.
func (o Options) connections() int {
	if o.Connections == 0 && o.Mode != Cluster {
		return 2
	}
	return max(1, o.Connections)
}

func (o Options) lanes() int {
	if o.Lanes == 0 && o.Mode == Cluster {
		return 64
	}
	return max(1, o.Lanes)
}

// Validate reports every unusable value as a cache.OptionError, joined.
func (o Options) Validate() error {
	var errs []error
	report := func(name, format string, args ...any) {
		errs = append(errs, &cache.OptionError{Name: name, Reason: fmt.Sprintf(format, args...)})
	}
	if o.Mode != Standalone && o.Mode != Sentinel && o.Mode != Cluster {
		report("mode", "must be standalone, sentinel or cluster, not %q", o.Mode)
	}
	if len(o.Addresses) == 0 {
		report("addresses", "must name at least one host:port")
	}
	if o.Mode == Standalone && len(o.Addresses) > 1 {
		report("addresses", "must be one where mode is standalone; is this a cluster, or are they sentinels?")
	}
	if o.DB < 0 || o.DB > 0 && o.Mode == Cluster {
		report("db", "must not be negative, and 0 in a cluster, not %d", o.DB)
	}
	if n := o.connections(); n > 256 || n&(n-1) != 0 || o.Connections < 0 {
		report("connections", "must be a power of two up to 256, not %d", o.Connections)
	}
	for name, size := range map[string]cache.Size{"read_buffer": o.ReadBuffer, "write_buffer": o.WriteBuffer} {
		if size < cache.KiB || size > cache.GiB {
			report(name, "must be between 1KiB and 1GiB, not %v", size)
		}
	}
	if o.DialTimeout <= 0 {
		report("dial_timeout", "must be positive, not %v", o.DialTimeout)
	}
	if o.ConnectionLifetime < time.Second {
		report("connection_lifetime", "must be at least 1s, not %v", o.ConnectionLifetime)
	}
	if o.Lanes < 0 || o.Lanes > 16384 {
		report("lanes", "must be between 1 and 16384, not %d", o.Lanes)
	}
	if o.LeaseTTL < time.Millisecond {
		report("lease_ttl", "must be at least 1ms, not %v", o.LeaseTTL)
	}
	if o.WaitReplicas < 0 {
		report("wait_replicas", "must not be negative, not %d", o.WaitReplicas)
	}
	if (o.TLS.Cert == "") != (o.TLS.Key == "") {
		report("tls", "needs cert and key together")
	}
	if v := o.TLS.MinVersion; v != "" && v != "1.2" && v != "1.3" {
		report("tls.min_version", `must be "1.2" or "1.3", not %q`, v)
	}
	return errors.Join(errs...)
}

// config reads the files. It returns nil where TLS is off.
func (t TLS) config() (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.MinVersion == "1.3" {
		config.MinVersion = tls.VersionTLS13
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, &cache.OptionError{Name: "tls.ca", Reason: err.Error()}
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &cache.OptionError{Name: "tls.ca", Reason: "the file " + t.CA + " has no certificate in PEM"}
		}
	}
	if t.Cert != "" {
		certificate, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, &cache.OptionError{Name: "tls.cert", Reason: err.Error()}
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}
