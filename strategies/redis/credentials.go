package redis

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// credentials are what a client shows to servers, and what it expects of them. Their files are read
// again for each new connection, so passwords and certificates can be replaced without a restart.
type credentials struct {
	login            lastGood[login]
	tls, sentinelTLS lastGood[*tls.Config]
	ownSentinelTLS   bool
}

// login holds the secrets of both kinds of servers.
type login struct{ data, sentinel rueidis.AuthCredentials }

func loginOf(o Options) login {
	return login{ // to authenticate
		data:     rueidis.AuthCredentials{Username: o.Username, Password: o.Password.Reveal()},
		sentinel: rueidis.AuthCredentials{Username: o.SentinelUsername, Password: o.SentinelPassword.Reveal()},
	}
}

// newCredentials reads the files of o. reread, which may be nil, returns the options again.
func newCredentials(o Options, reread func() (Options, error), logger *slog.Logger) (*credentials, error) {
	var c credentials
	var err error
	c.login.value = loginOf(o)
	if reread != nil {
		c.login.read = func() (login, error) {
			fresh, err := reread()
			return loginOf(fresh), err
		}
	}
	if c.tls.value, err = o.TLS.config("tls"); err != nil {
		return nil, err
	}
	if o.TLS.hasFiles() {
		c.tls.read = func() (*tls.Config, error) { return o.TLS.config("tls") }
	}
	c.sentinelTLS.value, c.sentinelTLS.read = c.tls.value, c.tls.read
	if c.ownSentinelTLS = o.SentinelTLS != nil; c.ownSentinelTLS {
		if c.sentinelTLS.value, err = o.SentinelTLS.config("sentinel_tls"); err != nil {
			return nil, err
		}
		c.sentinelTLS.read = nil
		if o.SentinelTLS.hasFiles() {
			c.sentinelTLS.read = func() (*tls.Config, error) { return o.SentinelTLS.config("sentinel_tls") }
		}
	}
	for _, l := range []interface {
		prepare(*slog.Logger, time.Duration)
	}{&c.login, &c.tls, &c.sentinelTLS} {
		l.prepare(logger, o.DialTimeout)
	}
	return &c, nil
}

// of returns the user and the password for a new connection to a sentinel, or to a data server.
func (c *credentials) of(sentinel bool) rueidis.AuthCredentials {
	l := c.login.get()
	if sentinel {
		return l.sentinel
	}
	return l.data
}

// certificates returns the configuration of TLS for a new connection. It returns nil if TLS is off.
func (c *credentials) certificates(sentinel bool) *tls.Config {
	if sentinel {
		return c.sentinelTLS.get()
	}
	return c.tls.get()
}

// lastGood is a value that is made of files. It is made again whenever it is wanted. While that
// fails, it is the last value that could be made.
type lastGood[T any] struct {
	read     func() (T, error) // nil if there are no files
	logger   *slog.Logger
	patience time.Duration // how long a file system may take

	mu      sync.Mutex
	value   T
	reading chan struct{} // closed when the reading that is under way has ended; nil if there is none
	failing bool
}

func (l *lastGood[T]) prepare(logger *slog.Logger, patience time.Duration) {
	l.logger, l.patience = logger, patience
}

var errSlowFile = errors.New("a file could not be read in time")

// get returns the value. Callers that come at the same time share one reading.
func (l *lastGood[T]) get() T {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.read == nil {
		return l.value
	}
	if l.reading == nil {
		ended := make(chan struct{})
		l.reading = ended
		go func() {
			value, err := l.read()
			l.mu.Lock()
			defer l.mu.Unlock()
			l.keep(value, err)
			l.reading = nil
			close(ended)
		}()
	}
	ended := l.reading
	l.mu.Unlock()
	patience := time.NewTimer(l.patience)
	defer patience.Stop()
	inTime := true
	select {
	case <-ended:
	case <-patience.C:
		inTime = false
	}
	l.mu.Lock()
	if !inTime {
		l.keep(l.value, errSlowFile)
	}
	return l.value
}

// last returns the value as it is.
func (l *lastGood[T]) last() T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value
}

// keep replaces the value unless err is not nil, and logs when that begins and ends. The caller
// holds mu.
func (l *lastGood[T]) keep(value T, err error) {
	switch {
	case err == nil:
		l.value = value
		if l.failing {
			l.logger.Info("redis: the files of passwords and certificates can be used again")
		}
	case !l.failing:
		l.logger.Warn("redis: a file cannot be used; new connections go on with what it held before", "error", err)
	}
	l.failing = err != nil
}
