package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"crypto/tls"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

const (
	// connectWait is how long Init waits for the first connection: a healthy server is used from the
	// first request on, and one that is down does not hold the application up for longer.
	connectWait = 500 * time.Millisecond
	// firstRetry and lastRetry bound the pauses between attempts to connect.
	firstRetry = 50 * time.Millisecond
	lastRetry  = 2 * time.Second
	// replyTimeout is how long a connection that has been silent may take to answer a PING before it is
	// given up. It is asked after one to two seconds (KeepAlive, below), so that a hung server is noticed
	// after three at most; every operation has a shorter deadline of its own.
	replyTimeout = time.Second
	// maxMoves is how many redirections of a Cluster one command follows.
	maxMoves = 8
)

var errNotConnected = fmt.Errorf("%w: not connected yet", cache.ErrUnavailable)

// client is a connection that may not be there yet: it is made in the background, because an
// application must start while Redis is down.
type client struct {
	options rueidis.ClientOption
	logger  *slog.Logger
	ready   atomic.Pointer[rueidis.Client]
	lent    bool // by the application, which closes it
	down    atomic.Bool
	cancel  context.CancelFunc
	done    chan struct{} // closed when connecting has ended
}

// clientOption translates o. certificates may be nil.
func (o Options) clientOption(certificates *tls.Config) rueidis.ClientOption {
	option := rueidis.ClientOption{
		InitAddress:         o.Addresses,
		Username:            o.Username,
		Password:            o.Password.Reveal(), // to authenticate
		ClientName:          o.ClientName,
		ClientSetInfo:       rueidis.DisableClientSetInfo, // unknown before Redis 7.2
		SelectDB:            o.DB,
		TLSConfig:           certificates,
		Dialer:              net.Dialer{Timeout: o.DialTimeout, KeepAlive: time.Second},
		ReadBufferEachConn:  int(o.ReadBuffer),
		WriteBufferEachConn: int(o.WriteBuffer),
		PipelineMultiplex:   multiplex(o.connections()),
		ConnWriteTimeout:    replyTimeout,
		DisableCache:        true, // no tracking: providers refuse it, and nothing here uses it
		DisableRetry:        true, // a retry would outlive the deadline
		AlwaysPipelining:    true, // or else cancelling waits for the reply
		ForceSingleClient:   o.Mode == Standalone,
		ClusterOption:       rueidis.ClusterOption{MaxMovedRedirections: maxMoves, ShardsRefreshInterval: 10 * time.Second},
	}
	if o.Mode == Sentinel {
		option.Sentinel = rueidis.SentinelOption{
			MasterSet: o.SentinelMaster, Username: o.SentinelUsername, Password: o.SentinelPassword.Reveal(),
			TLSConfig: certificates, Dialer: option.Dialer, TopologyRefreshInterval: 5 * time.Second,
		}
	}
	return option
}

// multiplex is the power of two that rueidis wants for a number of connections. Its zero is not one
// connection but up to four, by the number of processors; a negative one is.
func multiplex(connections int) int {
	if connections == 1 {
		return -1
	}
	return bits.TrailingZeros(uint(connections))
}

// connect starts to make the connection, and waits a moment for it.
func connect(ctx context.Context, option rueidis.ClientOption, logger *slog.Logger) *client {
	life, cancel := context.WithCancel(context.Background())
	c := &client{options: option, logger: logger, cancel: cancel, done: make(chan struct{})}
	dialer := option.Dialer
	c.options.DialCtxFn = func(ctx context.Context, address string, _ *net.Dialer, config *tls.Config) (net.Conn, error) {
		ctx, stop := context.WithCancel(ctx)
		defer context.AfterFunc(life, stop)()
		if config != nil {
			return (&tls.Dialer{NetDialer: &dialer, Config: config}).DialContext(ctx, "tcp", address)
		}
		return dialer.DialContext(ctx, "tcp", address)
	}
	first := make(chan struct{})
	go c.connect(life, first)
	wait := time.NewTimer(connectWait)
	defer wait.Stop()
	select {
	case <-first:
	case <-wait.C:
	case <-ctx.Done():
	}
	return c
}

// connect tries until it succeeds or life ends. first is closed after the first attempt.
func (c *client) connect(life context.Context, first chan struct{}) {
	defer close(c.done)
	for pause, attempt := firstRetry, 1; ; pause, attempt = min(2*pause, lastRetry), attempt+1 {
		made, err := rueidis.NewClient(c.options)
		switch {
		case err == nil && life.Err() != nil:
			made.Close()
		case err == nil:
			c.ready.Store(&made)
			c.worked()
		case life.Err() == nil:
			c.failed(err)
		}
		if attempt == 1 {
			close(first)
		}
		if err == nil {
			return
		}
		jitter := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // not a secret
		select {
		case <-jitter.C:
		case <-life.Done():
			jitter.Stop()
			return
		}
	}
}

// use returns the connection.
func (c *client) use() (rueidis.Client, error) {
	if made := c.ready.Load(); made != nil {
		return *made, nil
	}
	return nil, errNotConnected
}

// worked and failed log the beginning and the end of an outage, once each.
func (c *client) worked() {
	if c.down.Load() && c.down.CompareAndSwap(true, false) {
		c.logger.Info("redis: available again")
	}
}

func (c *client) failed(err error) {
	if !c.down.Swap(true) {
		c.logger.Warn("redis: unavailable; going on without", "error", typed(err))
	}
}

// answered takes note of how an operation ended, and returns its error as one of ours.
func (c *client) answered(err error) error {
	if err == nil {
		c.worked()
		return nil
	}
	err = typed(err)
	if errors.Is(err, cache.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		c.failed(err)
	}
	return err
}

// close ends the connection, and the making of it, within ctx.
func (c *client) close(ctx context.Context) error {
	c.cancel()
	select {
	case <-c.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if made := c.ready.Swap(nil); made != nil && !c.lent {
		(*made).Close()
	}
	return nil
}

// borrow uses a connection that belongs to the application.
func borrow(lent rueidis.Client, logger *slog.Logger) *client {
	c := &client{logger: logger, lent: true, cancel: func() {}, done: make(chan struct{})}
	c.ready.Store(&lent)
	close(c.done)
	return c
}
