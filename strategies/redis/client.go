package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/backoff"
)

const (
	// connectWait is how long Init waits for the first connection. A healthy server is then used
	// from the first request on, and one that is down does not hold up the application for longer.
	connectWait = 500 * time.Millisecond
	// firstRetry and lastRetry bound the pauses between attempts to connect.
	firstRetry = 50 * time.Millisecond
	lastRetry  = 2 * time.Second
	// replyTimeout is how long a silent connection may take to answer a PING before it is given up.
	// rueidis sends the PING after one to two seconds (KeepAlive, below), so a hung server is
	// noticed after three at most. Every operation has a shorter deadline of its own.
	replyTimeout = time.Second
	// recoveryAfter is how long nothing must have failed before an outage counts as over. It is
	// longer than the time between two probes.
	recoveryAfter = 2 * time.Second
	// maxMoves is how many redirections of a Cluster one command follows.
	maxMoves = 8
)

var errNotConnected = fmt.Errorf("%w: not connected yet", driver.ErrUnavailable)

// client is a connection that may not exist yet. It is made in the background, because an
// application must start even if Redis is down.
type client struct {
	*background

	options  rueidis.ClientOption
	timeout  time.Duration // of an operation that has no deadline
	logger   *slog.Logger
	ready    atomic.Pointer[rueidis.Client]
	external bool // the application made the client, and closes it
	down     atomic.Bool
	// lastFailure is when an operation failed last, in Unix nanoseconds.
	lastFailure atomic.Int64
	lost        func() // called after a connection has ended; set before start
	dialled     func() // called after a connection was made, except for the first; set before start
	// mode is Options.Mode, or how an external client works. sentinels are the addresses of the
	// configured ones. Both are set before start.
	mode      string
	sentinels []string
	failover  failover
	refusal   atomic.Pointer[error] // why there is no connection yet
}

func newClient(option rueidis.ClientOption, timeout time.Duration, logger *slog.Logger) *client {
	c := &client{
		background: newBackground(), options: option, timeout: timeout, logger: logger,
		lost: func() {}, dialled: func() {},
	}
	c.failover.links, c.failover.refused = make(map[*link]struct{}), make(map[string]*refusedServer)
	return c
}

// useExternal uses a connection that belongs to the application.
func useExternal(external rueidis.Client, timeout time.Duration, logger *slog.Logger) *client {
	c := newClient(rueidis.ClientOption{}, timeout, logger)
	c.external, c.mode = true, Standalone
	if external.Mode() == rueidis.ClientModeCluster {
		c.mode = Cluster
	}
	c.ready.Store(&external)
	return c
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
		ConnLifetime:        o.ConnectionLifetime*9/10 + rand.N(o.ConnectionLifetime/5), //nolint:gosec // not a secret
		DisableCache:        true,                                                       // no tracking: providers refuse it, and nothing here uses it
		DisableRetry:        true,                                                       // a retry would outlive the deadline
		AlwaysPipelining:    true,                                                       // otherwise cancelling waits for the reply
		// Connections for revocations with wait_replicas. Those not in use are closed.
		BlockingPoolSize: 4 * maxWaits, BlockingPoolCleanup: time.Minute,
		ForceSingleClient: o.Mode == Standalone,
		ClusterOption:     rueidis.ClusterOption{MaxMovedRedirections: maxMoves, ShardsRefreshInterval: 10 * time.Second},
	}
	if o.Mode == Sentinel {
		option.Sentinel = rueidis.SentinelOption{
			MasterSet: o.SentinelMaster, Username: o.SentinelUsername, Password: o.SentinelPassword.Reveal(),
			TLSConfig: certificates, Dialer: option.Dialer, TopologyRefreshInterval: 5 * time.Second,
		}
	}
	return option
}

// multiplex is the power of two that rueidis expects for a number of connections. Its zero does not
// mean one connection but up to four, depending on the number of processors. A negative value means
// one.
func multiplex(connections int) int {
	if connections == 1 {
		return -1
	}
	return bits.TrailingZeros(uint(connections))
}

// dial makes a connection for rueidis, unless the client is closed meanwhile.
func (c *client) dial(ctx context.Context, address string, config *tls.Config) (conn net.Conn, err error) {
	number, err := c.countDial(address)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer context.AfterFunc(c.life, stop)()
	if config != nil {
		conn, err = (&tls.Dialer{NetDialer: &c.options.Dialer, Config: config}).DialContext(ctx, "tcp", address)
	} else {
		conn, err = c.options.Dialer.DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, err
	}
	return &link{Conn: conn, client: c, address: address, number: number}, nil
}

// start starts to connect, and waits a moment for the result. It returns an error only if the
// server has answered by then and cannot be used.
func (c *client) start(ctx context.Context) error {
	c.options.DialCtxFn = func(ctx context.Context, address string, _ *net.Dialer, config *tls.Config) (net.Conn, error) {
		return c.dial(ctx, address, config)
	}
	first := make(chan struct{})
	c.run(func(life context.Context) { c.connect(life, first) })
	wait := time.NewTimer(connectWait)
	defer wait.Stop()
	select {
	case <-first:
	case <-wait.C:
	case <-ctx.Done():
	}
	if err := c.refusal.Load(); err != nil && isMistake(*err) {
		return *err
	}
	return nil
}

// connect tries until it succeeds or life ends. It closes first after the first attempt.
func (c *client) connect(life context.Context, first chan struct{}) {
	pauses := backoff.Backoff{First: firstRetry, Last: lastRetry, Jitter: true}
	for attempt := 1; ; attempt++ {
		made, err := rueidis.NewClient(c.options)
		switch {
		case err == nil && life.Err() != nil:
			made.Close()
		case err == nil:
			c.ready.Store(&made)
			c.recovered()
		case life.Err() == nil:
			c.failed(typed(err))
			c.refusal.Store(&err)
		}
		if attempt == 1 {
			close(first)
		}
		if err == nil {
			return
		}
		if !pauses.Wait(life) {
			return
		}
	}
}

// use returns the connection.
func (c *client) use() (rueidis.Client, error) {
	if made := c.ready.Load(); made != nil {
		return *made, nil
	}
	switch refusal := c.refusal.Load(); {
	case refusal == nil:
		return nil, errNotConnected
	case isMistake(*refusal):
		return nil, typed(*refusal)
	default:
		return nil, fmt.Errorf("%w: %w", errNotConnected, typed(*refusal))
	}
}

// connected returns the connection for an operation that ctx has not ended yet.
func (c *client) connected(ctx context.Context) (rueidis.Client, error) {
	conn, err := c.use()
	if err != nil {
		return nil, err
	}
	return conn, ctx.Err()
}

// withDeadline gives ctx a deadline if it has none.
func (c *client) withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.timeout)
}

// observe records how an operation ended, and returns its error as one of ours.
func (c *client) observe(err error) error {
	if err == nil {
		c.worked()
		return nil
	}
	err = typed(err)
	c.observeDemotion(err)
	if errors.Is(err, driver.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		c.failed(err)
	}
	return err
}

// worked, recovered and failed log the beginning and the end of an outage, once each. If a part of
// a Cluster is down, successes and failures alternate all the time. Therefore an outage ends only
// when nothing has failed for a while.
func (c *client) worked() {
	if c.down.Load() && time.Now().UnixNano()-c.lastFailure.Load() >= int64(recoveryAfter) {
		c.recovered()
	}
}

func (c *client) recovered() {
	if c.down.CompareAndSwap(true, false) {
		c.logger.Info("redis: available again")
	}
}

func (c *client) failed(err error) {
	c.lastFailure.Store(time.Now().UnixNano())
	if !c.down.Swap(true) {
		c.logger.Warn("redis: unavailable; going on without", "error", err)
	}
}

// close ends the connection, or the attempts to make it, within ctx.
func (c *client) close(ctx context.Context) error {
	err := c.stop(ctx)
	if made := c.ready.Swap(nil); made != nil && !c.external {
		closed := make(chan struct{})
		go func() { // next to a hung server, this takes a second for each connection
			(*made).Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return err
}
