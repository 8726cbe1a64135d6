package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// store is what one Init has opened.
type store struct {
	client    *client
	keys      *keyspace
	agreement *agreement // with the other nodes
	admission *admission
	reader    *reader
	leaser    *leaser
	writer    *writer
	revoker   *revoker
	batcher   *batcher
	bodies    *bodies
	leases    *leases
	limits    *liveLimits
}

// Init starts to connect, and waits a moment for the connection. If Redis does not answer, Init
// goes on in the background, and operations return driver.ErrUnavailable until there is a
// connection. If a server answers that is too old, or runs in another mode, Init returns a
// VersionError or a ModeError. A rueidis.Client that the application exports is used as it is, and
// the options that describe a connection are ignored.
//
// If Redis answers, and the other nodes of the namespace have another number of lanes, Init returns
// a driver.OptionError. A node that finds this out later serves no hits, and its revocations fail.
func (s *Strategy) Init(ctx context.Context, in driver.Injector) error {
	service, err := resolveService(in)
	if err != nil {
		return err
	}
	external, found, err := driver.ResolveOptional[rueidis.Client](in)
	if err != nil {
		return err
	}
	lanes := s.options.lanes()
	var c *client
	var connection rueidis.ClientOption
	if found {
		c = useExternal(external, service.Timeout, service.logger)
		if c.mode == Cluster && s.options.Lanes == 0 {
			lanes = Options{Mode: Cluster}.lanes()
		}
	} else {
		credentials, err := newCredentials(s.options, s.reread, service.logger)
		if err != nil {
			return err
		}
		connection = s.options.clientOption(credentials.tls.value)
		c = newClient(connection, service.Timeout, service.logger)
		c.mode, c.credentials, c.addressMap, c.require = s.options.Mode, credentials, s.options.AddressMap, s.options.Require
	}
	st := newStore(c, newKeyspace(service.KeyPrefix, lanes), service, s.options, connection)
	st.agreement.declared = time.Duration(s.lag.Load())
	if !found {
		if err := c.start(ctx); err != nil {
			return errors.Join(fmt.Errorf("redis: %w", err), c.close(ctx))
		}
	}
	if err := st.agree(ctx); err != nil {
		return errors.Join(err, c.close(context.WithoutCancel(ctx)))
	}
	s.store.Store(st)
	return nil
}

// service is what a Strategy takes from the Service that it works for.
type service struct {
	driver.Limits
	clock  driver.Clock
	logger *slog.Logger
}

func resolveService(in driver.Injector) (s service, err error) {
	if s.Limits, err = driver.Resolve[driver.Limits](in); err != nil {
		return s, err
	}
	if s.clock, err = driver.Resolve[driver.Clock](in); err != nil {
		return s, err
	}
	s.logger, err = driver.Resolve[*slog.Logger](in)
	return s, err
}

// newStore connects the parts. It does no I/O.
func newStore(c *client, keys *keyspace, service service, options Options, connection rueidis.ClientOption) *store {
	st := &store{client: c, keys: keys, limits: new(liveLimits)}
	st.limits.Store(newLimits(service.Limits))
	lanes, limits := len(keys.lanes), st.limits
	bulkheads := newBulkheads(c, keys, options.connections())
	st.agreement = newAgreement(redisSlot{c, keys}, keys.namespace, lanes, service.logger)
	st.admission = &admission{c, keys, st.agreement, bulkheads}
	st.bodies = newBodies(c, connection)
	st.reader = &reader{
		client: c, keys: keys, clock: service.clock, limits: limits, bulkheads: bulkheads,
		hints: newTagHints(options.TagHints), coalescers: make([]coalescer, lanes), bodies: st.bodies, dropper: newDropper(c, limits),
	}
	for i := range keys.lanes {
		st.reader.coalescers[i].generation = keys.lanes[i].nonceOf(generation)
	}
	st.leaser = newLeaser(st.admission, st.reader, options.LeaseTTL, newOrphans(c, lanes, options.LeaseTTL))
	st.revoker = newRevoker(st.admission, options.WaitReplicas, options.longestLease()+time.Second)
	st.writer = &writer{c, keys, service.clock, limits, st.admission, st.bodies, st.revoker}
	st.batcher = &batcher{c, st.admission, st.reader, st.writer, make(chan struct{}, maxBatching)}
	st.leases = &leases{st.batcher, st.leaser}

	c.failover.prove = func(ctx context.Context) error { return proveWritable(ctx, c, keys) }
	bulkheads.lost = st.agreement.recheck
	switch {
	case c.external: // nobody reports when its connections are lost
	case c.mode == Cluster: // nodes come and go, and a lost one concerns few lanes
		c.dialled = st.agreement.wake
	default: // the next connection may lead to another server, or to none
		c.lost = func() {
			bulkheads.suspectAll()
			st.agreement.recheck()
		}
		c.dialled = st.agreement.recheck
	}
	return st
}

// agree compares this node with the others, if Redis answers, and continues in the background.
func (st *store) agree(ctx context.Context) error {
	var after time.Duration
	if _, err := st.client.use(); err == nil {
		ctx, cancel := context.WithTimeout(ctx, replyTimeout+scanBudget)
		after = st.agreement.check(ctx)
		cancel()
	}
	var different *disagreement
	if errors.As(st.agreement.differs(), &different) {
		return different.startError()
	}
	if err := st.agreement.failure(); isLasting(err) && st.client.require {
		return err
	}
	st.client.run(func(life context.Context) { st.agreement.watch(life, after) })
	return nil
}

// close ends the connections.
func (st *store) close(ctx context.Context) error {
	return errors.Join(st.client.close(ctx), st.bodies.close(ctx))
}
