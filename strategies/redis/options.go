package redis

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/fxcache/fxcache/cache/driver"
)

// The modes.
const (
	Standalone = "standalone"
	Sentinel   = "sentinel"
	Cluster    = "cluster"
)

// Options are the keys of the configuration section `cache.redis`. A field with its zero value gets
// its default.
type Options struct {
	// Mode is standalone, sentinel or cluster. Default standalone.
	Mode string `koanf:"mode,public"`
	// URL replaces Addresses, Username, Password, DB and TLS, and excludes them:
	// redis://user:password@host:port/db, or rediss:// for TLS. url_file reads it from a file. It
	// cannot be used if Mode is sentinel.
	URL driver.Secret `koanf:"url"`
	// Addresses of the server, of some nodes of the cluster, or of the sentinels, as host:port. If
	// Mode is standalone, it may be a Unix socket: unix:/run/redis.sock. Default 127.0.0.1:6379.
	Addresses []string `koanf:"addresses,public"`
	// AddressMap says how to reach servers behind a NAT or in a container network: to the address
	// that sentinels or nodes announce belongs the one that can be reached, both as host:port.
	AddressMap map[string]string `koanf:"address_map,public"`
	// Username is the ACL user. Default: Redis's own default user.
	Username string `koanf:"username"`
	// Password is the user's. password_file reads it from a file.
	Password driver.Secret `koanf:"password"`
	// DB is the number of the logical database. A Cluster has only 0.
	DB int `koanf:"db"`
	// ClientName is what CLIENT LIST shows. Default "fxcache".
	ClientName string `koanf:"client_name,public"`
	// SentinelMaster is the name under which the sentinels know the master. Default "mymaster". It
	// and the next two are refused unless Mode is sentinel.
	SentinelMaster string `koanf:"sentinel_master,public"`
	// SentinelUsername and SentinelPassword are for the sentinels themselves.
	SentinelUsername string        `koanf:"sentinel_username"`
	SentinelPassword driver.Secret `koanf:"sentinel_password"`
	// TLS is used unless this is nil, or its Enabled is false.
	TLS *TLS `koanf:"tls"`
	// SentinelTLS is for the sentinels themselves. Nil means the same as TLS. So, if the sentinels
	// are without TLS and the servers have it, its Enabled is false.
	SentinelTLS *TLS `koanf:"sentinel_tls"`
	// Require makes Init fail if there is no connection for a reason that does not pass by itself:
	// a wrong password, missing permissions, a database that does not exist, TLS that does not fit.
	// Init then waits for an answer for up to three times DialTimeout. A server that is down is no
	// such reason.
	Require bool `koanf:"require"`
	// Connections is how many connections commands are pipelined over, to each node. It is a power
	// of two up to 256. Default 2, in a Cluster 1.
	Connections int `koanf:"connections"`
	// ReadBuffer and WriteBuffer are the sizes of each connection's buffers. Default 64KiB each.
	ReadBuffer  driver.Size `koanf:"read_buffer"`
	WriteBuffer driver.Size `koanf:"write_buffer"`
	// DialTimeout bounds how long making a connection may take, from 1ms to 1m. Default 1s.
	DialTimeout time.Duration `koanf:"dial_timeout"`
	// ConnectionLifetime is the age at which a connection is made anew, give or take a tenth, so
	// that all connections lead where the addresses lead now. Default 5m.
	ConnectionLifetime time.Duration `koanf:"connection_lifetime"`
	// Lanes is how many parts the keys are divided into. Each lane lies in one slot of a Cluster.
	// InvalidateTags costs one command for each lane. All clients must agree. Default 1, in a
	// Cluster 64.
	Lanes int `koanf:"lanes"`
	// LeaseTTL is how long a key stays blocked after the process that loads it has died. A living
	// process extends its lease, up to driver.MaxLeaseTTL. Default 10s.
	LeaseTTL time.Duration `koanf:"lease_ttl"`
	// WaitReplicas makes Delete and InvalidateTags wait until that many replicas have the
	// revocation. If they do not, the error is driver.ErrNotReplicated. Zero does not wait.
	WaitReplicas int `koanf:"wait_replicas"`
	// TagHints is for how many entries the process remembers tags that only the value tells, as
	// those of sessions. Redis reads such an entry by an MGET, and all others by a script, which
	// costs four times as much. The memory is 160 bytes for each at the most. Default 200000.
	TagHints int `koanf:"tag_hints"`
}

// WithDefaults returns o with every zero field replaced by its default. If there is a URL,
// Addresses stays empty.
func (o Options) WithDefaults() Options {
	if o.Mode == "" {
		o.Mode = Standalone
	}
	if len(o.Addresses) == 0 && o.URL.IsZero() {
		o.Addresses = []string{"127.0.0.1:6379"}
	}
	if o.ClientName == "" {
		o.ClientName = "fxcache"
	}
	if o.SentinelMaster == "" && o.Mode == Sentinel {
		o.SentinelMaster = "mymaster"
	}
	if o.ReadBuffer == 0 {
		o.ReadBuffer = 64 * driver.KiB
	}
	if o.WriteBuffer == 0 {
		o.WriteBuffer = 64 * driver.KiB
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
	if o.TagHints == 0 {
		o.TagHints = 200_000
	}
	return o
}

// connections and lanes have defaults that depend on the mode. The configuration may set the mode
// after WithDefaults has run.
func (o Options) connections() int {
	if o.Connections == 0 && o.Mode != Cluster {
		return 2
	}
	return max(1, o.Connections)
}

// longestLease is how long a lease may live if it is extended again and again.
func (o Options) longestLease() time.Duration { return max(o.LeaseTTL, driver.MaxLeaseTTL) }

func (o Options) lanes() int {
	if o.Lanes == 0 && o.Mode == Cluster {
		return 64
	}
	return max(1, o.Lanes)
}

// Validate returns a driver.OptionError for every unusable value, joined.
func (o Options) Validate() error {
	var errs []error
	report := func(name, format string, args ...any) {
		errs = append(errs, &driver.OptionError{Name: name, Reason: fmt.Sprintf(format, args...)})
	}
	if o.Mode != Standalone && o.Mode != Sentinel && o.Mode != Cluster {
		report("mode", "must be standalone, sentinel or cluster")
	}
	o.validateAddresses(report)
	if _, err := o.withURL(); err != nil {
		errs = append(errs, err)
	}
	o.validateNames(report)
	if o.DB < 0 || o.DB > 0 && o.Mode == Cluster {
		report("db", "must not be negative, and 0 in a cluster, not %d", o.DB)
	}
	if n := o.connections(); n > 256 || n&(n-1) != 0 || o.Connections < 0 {
		report("connections", "must be a power of two up to 256, not %d", o.Connections)
	}
	for name, size := range map[string]driver.Size{"read_buffer": o.ReadBuffer, "write_buffer": o.WriteBuffer} {
		if size < driver.KiB || size > driver.GiB {
			report(name, "must be between 1KiB and 1GiB, not %v", size)
		}
	}
	if o.DialTimeout <= 0 || o.DialTimeout > time.Minute {
		report("dial_timeout", "must be positive and at most 1m, not %v", o.DialTimeout)
	}
	if o.ConnectionLifetime < time.Second {
		report("connection_lifetime", "must be at least 1s, not %v", o.ConnectionLifetime)
	}
	if o.Lanes < 0 || o.Lanes > 16384 {
		report("lanes", "must be between 1 and 16384, not %d", o.Lanes)
	}
	if o.LeaseTTL <= 0 {
		report("lease_ttl", "must be positive, not %v", o.LeaseTTL)
	}
	for name, duration := range map[string]time.Duration{"dial_timeout": o.DialTimeout, "lease_ttl": o.LeaseTTL} {
		if reason := driver.TooShort(duration); reason != "" {
			report(name, "%s", reason)
		}
	}
	if o.WaitReplicas < 0 {
		report("wait_replicas", "must not be negative, not %d", o.WaitReplicas)
	}
	if o.TagHints < 1 || o.TagHints > maxTagHints {
		report("tag_hints", "must be between 1 and %d, not %d", maxTagHints, o.TagHints)
	}
	o.validateSecurity(report)
	for announced, reachable := range o.AddressMap {
		if wrong := checkMapping(announced, reachable); wrong != "" {
			report("address_map", "%s", wrong)
			break
		}
	}
	return errors.Join(errs...)
}

// Hint says what to write in place of an unknown key: how other systems call the keys of this
// section. key is in lower case, without _ and -. It returns "" if it knows no advice.
func (Options) Hint(key string) string {
	for _, h := range hints {
		if h.pattern.MatchString(key) {
			return h.advice
		}
	}
	return ""
}

// validateAddresses reports what is wrong with the addresses. A connection string in their place
// has commas, and becomes several addresses; that is one mistake.
func (o Options) validateAddresses(report func(name, format string, args ...any)) {
	wrong := false
	for i, address := range o.Addresses {
		if strings.Contains(address, "=") && !strings.Contains(address, "://") {
			report(fmt.Sprintf("addresses[%d]", i), "must be host:port without options, as in a connection string: write those as keys of this section "+
				"(username, password or password_file, db, and tls: {} for ssl=true)")
			return
		}
	}
	for i, address := range o.Addresses {
		if reason := checkAddress(address); reason != "" {
			report(fmt.Sprintf("addresses[%d]", i), "%s", reason)
			wrong = true
		}
	}
	if o.Mode == Standalone && len(o.Addresses) > 1 && !wrong {
		report("addresses", "must be one address if mode is standalone: write mode: cluster, or mode: sentinel if these are sentinels")
	}
}

// validateNames reports names that Redis would refuse, and those of sentinels where there are none.
func (o Options) validateNames(report func(name, format string, args ...any)) {
	for name, text := range map[string]string{
		"client_name": o.ClientName, "sentinel_master": o.SentinelMaster, "username": o.Username, "sentinel_username": o.SentinelUsername,
	} {
		if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
			report(name, "must not have blanks")
		} else if name == "client_name" && (text == "" || strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })) {
			report(name, "must have letters, digits and signs of ASCII only, and at least one")
		}
	}
	for name, given := range map[string]bool{
		"sentinel_master": o.SentinelMaster != "", "sentinel_username": o.SentinelUsername != "", "sentinel_password": !o.SentinelPassword.IsZero(),
	} {
		if given && o.Mode != Sentinel {
			report(name, "is for mode: sentinel: write that too, or remove the key")
		}
	}
	if o.Mode == Sentinel && o.SentinelMaster == "" {
		report("sentinel_master", "must not be empty")
	}
}

// validateSecurity reports what is wrong with TLS.
func (o Options) validateSecurity(report func(name, format string, args ...any)) {
	o.TLS.validate("tls", report)
	o.SentinelTLS.validate("sentinel_tls", report)
	if o.SentinelTLS != nil && o.Mode != Sentinel {
		report("sentinel_tls", "is for sentinels: set mode to sentinel, or remove it")
	}
	for i, address := range o.Addresses {
		_, socket := socketPath(address)
		if socket && o.Mode != Standalone {
			report(fmt.Sprintf("addresses[%d]", i), "must be host:port if mode is %s; a Unix socket leads to one server", o.Mode)
		}
		if socket && o.TLS.on() {
			report("tls", "cannot be used over a Unix socket: remove it")
		}
	}
}
