package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"net"
	"sync"
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
	// calm is how long nothing must have failed until an outage is over: longer than between two probes.
	recoveryAfter = 2 * time.Second
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
	external    bool // by the application, which closes it
	down    atomic.Bool
	// lastFailure is when an operation failed last, in Unix nanoseconds.
	lastFailure atomic.Int64
	lost        func() // called when a connection has ended; set before start
	dialled     func() // called when one was made, but not for the first
	// mode is Options.Mode, or how a lent client works, and sentinels are the configured ones. Set before start.
	mode      string
	sentinels []string
	failover  failover
	mistake   atomic.Pointer[error] // why there is no connection, if somebody has to mend it

	mu     sync.Mutex
	life   context.Context //nolint:containedctx // ends with close
	cancel context.CancelFunc
	group  sync.WaitGroup // of what works until then
}

func newClient(option rueidis.ClientOption, logger *slog.Logger) *client {
	c := &client{options: option, logger: logger, lost: func() {}, dialled: func() {}}
	c.failover.links, c.failover.refused = make(map[*link]struct{}), make(map[string]*backoff)
	c.life, c.cancel = context.WithCancel(context.Background())
	return c
}

// work runs in the background until the client is closed; false: it is already.
func (c *client) work(run func(life context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return false
	}
	c.group.Go(func() { run(c.life) })
	return true
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
		AlwaysPipelining:    true,                                                       // or else cancelling waits for the reply
		// Connections that revocations with wait_replicas have for themselves; those not used are closed.
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

// multiplex is the power of two that rueidis wants for a number of connections. Its zero is not one
// connection but up to four, by the number of processors; a negative one is.
func multiplex(connections int) int {
	if connections == 1 {
		return -1
	}
	return bits.TrailingZeros(uint(connections))
}

// dial makes a connection of rueidis, until the client is closed.
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

// start starts to make the connection, and waits a moment for it. It returns an error if the server has
// answered by then and is not one that can be used.
func (c *client) start(ctx context.Context) error {
	c.options.DialCtxFn = func(ctx context.Context, address string, _ *net.Dialer, config *tls.Config) (net.Conn, error) {
		return c.dial(ctx, address, config)
	}
	first := make(chan struct{})
	c.work(func(life context.Context) { c.connect(life, first) })
	wait := time.NewTimer(connectWait)
	defer wait.Stop()
	select {
	case <-first:
	case <-wait.C:
	case <-ctx.Done():
	}
	if err := c.mistake.Load(); err != nil {
		return *err
	}
	return nil
}

// connect tries until it succeeds or life ends. first is closed after the first attempt.
func (c *client) connect(life context.Context, first chan struct{}) {
	for pause, attempt := firstRetry, 1; ; pause, attempt = min(2*pause, lastRetry), attempt+1 {
		made, err := rueidis.NewClient(c.options)
		switch {
		case err == nil && life.Err() != nil:
			made.Close()
		case err == nil:
			c.ready.Store(&made)
			c.recovered()
		case life.Err() == nil:
			c.failed(typed(err))
			if isMistake(err) {
				c.mistake.Store(&err)
			} else {
				c.mistake.Store(nil)
			}
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
	if err := c.mistake.Load(); err != nil {
		return nil, typed(*err)
	}
	return nil, errNotConnected
}

// worked and failed log the beginning and the end of an outage, once each. While a part of a Cluster is
// down one follows the other all the time; the outage is over when nothing has failed for a while.
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

// answered takes note of how an operation ended, and returns its error as one of ours.
func (c *client) observe(err error) error {
	if err == nil {
		c.worked()
		return nil
	}
	err = typed(err)
	c.observeDemotion(err)
	if errors.Is(err, cache.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		c.failed(err)
	}
	return err
}

// close ends the connection, and the making of it, within ctx.
func (c *client) close(ctx context.Context) error {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		c.group.Wait()
		close(ended)
	}()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if made := c.ready.Swap(nil); made != nil && !c.external {
		closed := make(chan struct{})
		go func() { // beside a server that hangs it takes a second for each connection
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

// borrow uses a connection that belongs to the application.
func useExternal(lent rueidis.Client, logger *slog.Logger) *client {
	c := newClient(rueidis.ClientOption{}, logger)
	c.external, c.mode = true, Standalone
	if lent.Mode() == rueidis.ClientModeCluster {
		c.mode = Cluster
	}
	c.ready.Store(&lent)
	return c
}
