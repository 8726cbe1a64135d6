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
	"slices"
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
	cause       atomic.Pointer[error] // of the last failure
	lost        func()                // called after a connection has ended; set before start
	dialled     func()                // called after a connection was made, except for the first; set before start
	// mode is Options.Mode, or how an external client works. credentials, addressMap and require
	// are empty for an external one. All are set before start.
	mode        string
	credentials *credentials
	addressMap  map[string]string
	require     bool
	failover    failover
	refusal     atomic.Pointer[error] // why there is no connection yet
	reports     reports
}

func newClient(option rueidis.ClientOption, timeout time.Duration, logger *slog.Logger) *client {
	c := &client{
		background: newBackground(), options: option, timeout: timeout, logger: logger,
		lost: func() {}, dialled: func() {},
	}
	c.failover.links, c.failover.refused = make(map[*link]struct{}), make(map[string]*refusedServer)
	c.credentials = new(credentials)
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

// clientOption translates o. certificates may be nil. User, password and certificates are those of
// the client's credentials in the end.
func (o Options) clientOption(certificates *tls.Config) rueidis.ClientOption {
	option := rueidis.ClientOption{
		InitAddress:         o.Addresses,
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
			MasterSet: o.SentinelMaster, Dialer: option.Dialer, TopologyRefreshInterval: 5 * time.Second,
			TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}, // never used: it tells dial what the connection is for
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
func (c *client) dial(ctx context.Context, address string, config *tls.Config) (net.Conn, error) {
	number, err := c.countDial(address)
	if err != nil {
		return nil, err
	}
	l := &link{client: c, address: address, number: number}
	l.sentinel = c.mode == Sentinel && config == c.options.Sentinel.TLSConfig
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(c.life, stop)()
	if l.Conn, err = c.reach(ctx, address); err == nil {
		if config = c.credentials.certificates(l.sentinel); config != nil {
			err = l.secure(ctx, config)
		}
	}
	switch {
	case err == nil:
		return l, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case isLasting(err):
		return nil, c.refuse(l, err)
	}
	return nil, unreachable(address, slices.Contains(c.options.InitAddress, address), err)
}

// reach dials the server of an address, without TLS.
func (c *client) reach(ctx context.Context, address string) (net.Conn, error) {
	network, target := c.target(address)
	return c.options.Dialer.DialContext(ctx, network, target)
}

// target returns where the server of an address can be reached.
func (c *client) target(address string) (network, target string) {
	if mapped, ok := c.addressMap[address]; ok {
		address = mapped
	}
	if path, ok := socketPath(address); ok {
		return "unix", path
	}
	return "tcp", address
}

// start starts to connect, and waits a moment for the result. It returns an error only if the
// server has answered by then and cannot be used.
func (c *client) start(ctx context.Context) error {
	c.options.AuthCredentialsFn = func(to rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
		peer, _ := to.Address.(peer)
		return c.credentials.of(peer.sentinel), nil
	}
	c.options.DialCtxFn = func(ctx context.Context, address string, _ *net.Dialer, config *tls.Config) (net.Conn, error) {
		return c.dial(ctx, address, config)
	}
	first := make(chan struct{})
	c.run(func(life context.Context) { c.connect(life, first) })
	patience := connectWait
	if c.require { // a TLS handshake that is never answered takes DialTimeout, and so does the question why
		patience = 3 * c.options.Dialer.Timeout
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case <-first:
	case <-wait.C:
	case <-ctx.Done():
	}
	if err := c.refusal.Load(); err != nil && c.ready.Load() == nil && (isMistake(*err) || c.require && isLasting(*err)) {
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
			err = explain(err, c.mode, c.credentials.login.last())
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
		return nil, fmt.Errorf("%w: %w", errNotConnected, withoutAddress(*refusal))
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

// worked, recovered and failed log the beginning and the end of an outage, and from time to time
// that it goes on. If a part of a Cluster is down, successes and failures alternate all the time.
// Therefore an outage ends only when nothing has failed for a while.
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
	if c.life.Err() != nil {
		return // the application stops: nothing goes on
	}
	c.lastFailure.Store(time.Now().UnixNano())
	c.cause.Store(&err)
	switch began := !c.down.Swap(true); {
	case !c.reports.due(err, began):
	case isLasting(err):
		c.logger.Error("redis: the server cannot be used; going on without", "error", err)
	default:
		c.logger.Warn("redis: unavailable; going on without", "error", err)
	}
}

// because adds to err why the last operation failed.
func (c *client) because(err error) error {
	if cause := c.cause.Load(); cause != nil {
		return fmt.Errorf("%w: %w", err, *cause)
	}
	return err
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
