package redis

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fxcache/fxcache/cache/driver"
)

// defaultPort is the port of a URL that has none.
const defaultPort = "6379"

// hostname is what the resolver accepts: letters, digits, - and _, in parts of up to 63.
var hostname = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.|$))+$`)

// isHost reports whether host is an IP address or could be a name in the DNS.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	name := strings.TrimSuffix(host, ".")
	last := name[strings.LastIndexByte(name, '.')+1:] // if it is a number, an IP address was meant
	return len(host) <= 253 && hostname.MatchString(host) && strings.Trim(last, "0123456789") != ""
}

func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// checkAddress returns what is wrong with an address, or "". It never repeats the address: people
// put passwords there, because other libraries accept them in that place.
func checkAddress(address string) string {
	host, port, err := net.SplitHostPort(address)
	_, notIPv6 := netip.ParseAddr(host)
	switch {
	case strings.HasPrefix(address, socketPrefix):
		return checkSocket(address)
	case strings.Contains(address, "://"):
		return "must be host:port and not a URL; that belongs in url"
	case strings.Contains(address, "@"):
		return "must be host:port; the user belongs in username and password, or everything in url"
	case strings.ContainsAny(address, ", ;\t\r\n"):
		return "must be one host:port, without blanks and options; write a list of several"
	case strings.HasPrefix(address, "/"):
		return "must be host:port; a Unix socket is written as unix:/path"
	case err != nil || !isHost(host) || !isPort(port) || strings.HasPrefix(address, "[") && (notIPv6 != nil || !strings.Contains(host, ":")):
		return "must be host:port with a port from 1 to 65535, such as redis.example.com:6379 or [::1]:6379"
	}
	return ""
}

// socketPrefix begins the address of a Unix socket.
const socketPrefix = "unix:"

// socketPath returns the path in unix:/path or unix:///path.
func socketPath(address string) (path string, ok bool) {
	if path, ok = strings.CutPrefix(address, socketPrefix); ok {
		path = "/" + strings.TrimLeft(path, "/")
	}
	return path, ok
}

// maxSocketPath is what fits into the address of a Unix socket on every system.
const maxSocketPath = 103

// checkSocket is checkAddress for Unix sockets.
func checkSocket(address string) string {
	path, _ := socketPath(address)
	switch {
	case strings.ContainsAny(path, "@?\t\r\n\x00"):
		return "must be unix:/path and nothing else; write the user, the password and db as keys of this section"
	case !strings.HasPrefix(address, socketPrefix+"/") || path == "/":
		return "must be unix:/path with an absolute path, such as unix:/run/redis/redis.sock"
	case len(path) > maxSocketPath:
		return fmt.Sprintf("must have a path of at most %d bytes; that is a limit of Unix sockets", maxSocketPath)
	}
	return ""
}

// checkMapping returns what is wrong with an item of Options.AddressMap, or "".
func checkMapping(announced, reachable string) string {
	for _, address := range []string{announced, reachable} {
		if strings.HasPrefix(address, socketPrefix) || checkAddress(address) != "" {
			return `must map what a server announces to what can be reached, each as host:port: {"10.0.0.5:6379": "127.0.0.1:7001"}`
		}
	}
	return ""
}

// withURL returns o with the contents of its URL moved to the fields that say the same.
func (o Options) withURL() (Options, error) {
	if o.URL.IsZero() {
		return o, nil
	}
	wrong := func(format string, args ...any) (Options, error) {
		return o, &driver.OptionError{Name: "url", Reason: fmt.Sprintf(format, args...)}
	}
	var also []string
	for name, given := range map[string]bool{
		"addresses": len(o.Addresses) > 0, "username": o.Username != "", "password": !o.Password.IsZero(), "db": o.DB != 0,
	} {
		if given {
			also = append(also, name)
		}
	}
	if slices.Sort(also); len(also) > 0 {
		return wrong("says what %s says as well: remove one of them", strings.Join(also, " and "))
	}
	if o.Mode == Sentinel {
		return wrong("is for one server, or a node of a cluster; if mode is sentinel, use addresses, username and password")
	}
	const form = "redis:// or rediss:// (TLS), then user:password@ if there are any, host:port, and /db"
	u, err := url.Parse(o.URL.Reveal()) // to take it apart; the error would repeat it
	if err != nil || u.Opaque != "" {
		return wrong("must be %s, with everything but letters and digits of the password percent-encoded", form)
	}
	host, port := u.Hostname(), u.Port()
	if port == "" && !strings.HasSuffix(u.Host, ":") {
		port = defaultPort
	}
	address := net.JoinHostPort(host, port)
	db, err := strconv.Atoi(strings.TrimPrefix(u.Path, "/"))
	switch {
	case u.Scheme == "unix":
		return wrong("cannot be a Unix socket: write it in addresses, as unix:/path")
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return wrong("must be %s", form)
	case u.RawQuery != "" || u.ForceQuery:
		return wrong("must have no options behind a question mark; write them as keys of this section (a ? in a password is %%3F)")
	case strings.Contains(o.URL.Reveal(), "#"): // an empty fragment leaves no other trace
		return wrong("must have nothing behind a # (in a password that is %%23)")
	case checkAddress(address) != "":
		return wrong("must be %s: the host or the port is not valid", form)
	case err != nil && strings.Trim(u.Path, "/") != "" || db < 0 || strings.Count(u.Path, "/") > 1:
		return wrong("must end with the number of the database, or nothing, after the host: %s", form)
	case db > 0 && o.Mode == Cluster:
		return wrong("must not name a database if mode is cluster")
	case u.Scheme == "redis" && o.TLS.on():
		return wrong("says redis://, which is without TLS, and tls says with it: write rediss://, or remove tls")
	case u.Scheme == "rediss" && o.TLS != nil && !o.TLS.on():
		return wrong("says rediss://, which is with TLS, and tls.enabled is false: write redis://, or remove tls.enabled")
	}
	o.Addresses, o.Username, o.DB = []string{address}, u.User.Username(), db
	if password, ok := u.User.Password(); ok {
		o.Password = driver.NewSecret(password)
	}
	if u.Scheme == "rediss" && o.TLS == nil {
		o.TLS = &TLS{}
	}
	o.URL = driver.Secret{}
	return o, nil
}

// unaddressed is a network error whose text leaves out an invalid address. The address of an
// external client may hold a password.
type unaddressed struct {
	error

	text string
}

// Error implements error.
func (u unaddressed) Error() string { return u.text }

// Format implements fmt.Formatter, so that no verb shows the cause.
func (u unaddressed) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(u.text)) }

// Unwrap returns the cause.
func (u unaddressed) Unwrap() error { return u.error }

// withoutAddress returns err with a text that may be shown.
func withoutAddress(err error) error {
	var name *net.DNSError
	var address *net.AddrError
	var link *url.Error
	switch {
	case errors.As(err, &name) && !isHost(name.Name):
		return unaddressed{err, "an address cannot be looked up: " + name.Err}
	case errors.As(err, &address):
		return unaddressed{err, "an address is not valid: " + address.Err}
	case errors.As(err, &link):
		return unaddressed{err, "a URL is not valid"}
	}
	return err
}
