package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/redis/rueidis"
)

// ConnectError says why there is no connection to a server, and where to look. Operations wrap it
// in driver.ErrUnavailable. If Options.Require is set, and the reason does not pass by itself, Init
// returns it.
type ConnectError struct {
	// Address is the server's, as configured or as announced by others. It is empty if several
	// servers may be meant.
	Address string
	// Options are the keys of the section `redis` that may be at fault. There may be none.
	Options []string
	// Err is the cause. What a server answered is a ServerError.
	Err error

	reason  string // in words
	lasting bool   // it does not pass by itself
}

// Error implements error. It quotes what the server answered, which names no key before there is a
// connection, without the user and the password.
func (e *ConnectError) Error() string {
	text := "redis"
	if e.Address != "" {
		text += " at " + e.Address
	}
	text += ": " + e.reason
	for i, option := range e.Options {
		// The section may be cache.redis or that of a further store.
		text += []string{"; look at ", ", "}[min(i, 1)] + "redis." + option
	}
	return text
}

// Unwrap returns the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// isLasting reports whether err does not pass by itself: somebody has to change something.
func isLasting(err error) bool {
	var connect *ConnectError
	return isMistake(err) || errors.As(err, &connect) && connect.lasting
}

// answers tells which options to look at by what a server says to a new connection. Redis has codes
// for few of them.
var answers = []struct {
	text    string
	options []string
	lasting bool
}{
	{"WRONGPASS", []string{"username", "password"}, true},
	{"NOAUTH", []string{"username", "password"}, true},
	{"without any password configured", []string{"password"}, true},
	{"NOPERM", []string{"username"}, true},
	{"DB index", []string{"db"}, true},
	{"SELECT is not allowed", []string{"db", "mode"}, true},
	{"Client names cannot contain", []string{"client_name"}, true},
	{"No such master", []string{"sentinel_master"}, true},
	{"DENIED", []string{"password", "addresses"}, true},
	{"max number of clients", []string{"connections"}, false},
}

// credentialOptions are the options that sentinels have of their own.
var credentialOptions = []string{"username", "password"}

// answered is the error for what a server says to a new connection. hidden are the user and the
// password.
func answered(address, text string, sentinel bool, hidden ...string) *ConnectError {
	err := &ConnectError{Address: address, Err: &ServerError{Code: code(strings.TrimPrefix(text, "ERR "))}}
	for _, known := range answers {
		if strings.Contains(text, known.text) {
			err.Options, err.lasting = slices.Clone(known.options), known.lasting
			break
		}
	}
	for i, option := range err.Options {
		if sentinel && slices.Contains(credentialOptions, option) {
			err.Options[i] = "sentinel_" + option
		}
	}
	err.reason = fmt.Sprintf("the server answers %q", said(text, hidden))
	return err
}

// maxSaid is how much of what a server says is kept. Redis says a page if its protected mode is on.
const maxSaid = 200

// said returns what a server said without what it must not repeat. Some servers quote commands that
// they do not know, arguments included.
func said(text string, hidden []string) string {
	text, _, _ = strings.Cut(text, ", with args beginning with")
	for _, secret := range hidden {
		if secret != "" && secret != "default" { // a user that everybody knows, and a word of messages
			word := regexp.MustCompile(`(^|[^\pL\pN_])` + regexp.QuoteMeta(secret) + `($|[^\pL\pN_])`)
			text = word.ReplaceAllString(text, "${1}[redacted]${2}")
			if len(secret) >= minHidden {
				text = strings.ReplaceAll(text, secret, "[redacted]")
			}
		}
	}
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "…"
	}
	return text
}

// minHidden is the length from which a secret is also removed from within words.
const minHidden = 4

// explain returns an error for what rueidis was answered before it was connected, by one of several
// servers. Other errors are returned as they are.
func explain(err error, mode string, l login) error {
	answer, ok := rueidis.IsRedisErr(err)
	switch {
	case !ok:
		return err
	case !answer.IsNil():
		return answered("", answer.Error(), false, l.data.Username, l.data.Password, l.sentinel.Username, l.sentinel.Password)
	case mode == Sentinel:
		return answered("", "No such master", false)
	}
	return err
}

// unreachable is the error for a server to which no connection could be made. configured says that
// its address stands in the configuration. Other addresses are announced by servers.
func unreachable(address string, configured bool, err error) error {
	options := []string{"addresses"}
	if !configured {
		options = []string{"address_map"}
	}
	return &ConnectError{Address: address, Options: options, Err: err, reason: err.Error()}
}

// insecure is the error for a TLS handshake that failed. plain says that the server answers without
// TLS. It returns nil if err has nothing to do with TLS.
func insecure(l *link, err error, plain bool) error {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var other *tls.CertificateVerificationError
	e := &ConnectError{Address: l.address, Err: err, lasting: true}
	option := ""
	switch {
	case plain || errors.As(err, &record):
		e.reason = "TLS is on, and the server answers without it"
	case errors.As(err, &authority):
		e.reason, option = "its certificate is not trusted: "+err.Error(), ".ca"
	case errors.As(err, &host):
		e.reason, option = "its certificate is for another name: "+err.Error(), ".server_name"
	case errors.As(err, &invalid), errors.As(err, &other):
		e.reason = "its certificate cannot be used: " + err.Error()
	case isAlert(err):
		e.reason = "it refuses our TLS: " + err.Error()
		// crypto/tls tells alerts apart by their text only.
		if strings.Contains(err.Error(), "certificate") {
			option = ".cert"
		} else if strings.Contains(err.Error(), "version") {
			option = ".min_version"
		}
	default:
		return nil
	}
	e.Options = []string{l.tlsOption() + option}
	return e
}

// unheard is the error for a server that has not answered HELLO. expectsTLS says that it would
// have done so over TLS.
func unheard(l *link, err error, expectsTLS bool) error {
	e := &ConnectError{Address: l.address, Options: []string{"addresses"}, Err: err}
	switch {
	case expectsTLS:
		e.reason, e.Options, e.lasting = "the server expects TLS, and TLS is off", []string{l.tlsOption()}, true
	case errors.Is(err, errNoGreeting):
		e.reason, e.lasting = "this is not a Redis server: "+err.Error(), true
	case hungUp(err) && l.wantsCert:
		e.reason, e.Options, e.lasting = "the server wants a certificate, and none is configured", []string{l.tlsOption() + ".cert"}, true
	case hungUp(err):
		e.reason = "the server closes new connections without an answer"
		if !l.overTLS {
			e.Options = append(e.Options, "tls")
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.reason = "the server does not answer in time"
	default:
		return err
	}
	return e
}

// isAlert reports whether the other side says, in TLS, that it refuses. The type of such an error
// is not exported, but crypto/tls wraps it in this way.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// hungUp reports whether the other side has closed a connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// expectsTLS asks a server whether it speaks TLS.
func expectsTLS(ctx context.Context, conn net.Conn) bool {
	err := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) //nolint:gosec // it only asks; nothing is sent
	return err == nil || isAlert(err)
}

// answersPlainly asks a server whether it answers without TLS.
func answersPlainly(_ context.Context, conn net.Conn) bool {
	answer := make([]byte, 1)
	_, errWrite := io.WriteString(conn, "PING\r\n")
	_, errRead := io.ReadFull(conn, answer)
	return errWrite == nil && errRead == nil && (answer[0] == '+' || answer[0] == '-')
}

// lackingPermission is the error for a connection whose user may not even read the fingerprint.
func lackingPermission(err error) error {
	var answer *ServerError
	if errors.As(err, &answer) && answer.Code == "NOPERM" {
		return &ConnectError{Options: []string{"username"}, Err: err, lasting: true,
			reason: "the fingerprint cannot be read: " + err.Error()}
	}
	return nil
}
