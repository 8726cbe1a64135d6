package cache

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/internal/breaker"
	"github.com/fxcache/fxcache/internal/backoff"
	"github.com/fxcache/fxcache/internal/panics"
)

// start initialises the strategy.
func (d *door) start(ctx context.Context, in driver.Injector) error {
	initializer := d.features.Initializer
	if initializer == nil {
		return nil
	}
	if d.store.name != defaultStore || d.store.phase.Load() == phaseStarted { // not the limits in the container
		container, ok := in.(interface {
			Scope(name string, opts ...dig.ScopeOption) *dig.Scope
		})
		if !ok {
			return fmt.Errorf("several stores, and a strategy that replaces another one, need a *dig.Container or a *dig.Scope, not %T", in)
		}
		scope := container.Scope("store " + d.store.name)
		limits := d.limits // the container lives on, and must not keep the door
		if err := scope.Decorate(func(driver.Limits) driver.Limits { return limits }); err != nil {
			return err
		}
		in = scope
	}
	return initializer.Init(ctx, in)
}

// configure applies new options to a door.
func (d *door) configure(options Options) {
	d.breaker.Configure(breaker.Options{Failures: options.BreakerFailures, Pause: options.BreakerPause, Timeout: options.Timeout})
	d.pending.Configure(options.MaxPendingRevocations, options.MaxTTL+d.leaseTTL, options.Timeout)
	// A door that is being replaced may have a strategy that cannot take them.
	if d.features.Limiter != nil && d.checkLimits(options) == nil {
		d.features.Limiter.SetLimits(d.limitsOf(options))
	}
}

// limitsOf are the limits of options at this door.
func (d *door) limitsOf(options Options) driver.Limits {
	limits := options.Limits()
	limits.KeyPrefix = d.prefix
	return limits
}

// checkLimits reports limits that a driver.Limiter cannot take.
func (d *door) checkLimits(options Options) (err error) {
	defer panics.Catch(&err)
	return d.features.Limiter.CheckLimits(d.limitsOf(options))
}

// destroy releases what the strategy has opened.
func (d *door) destroy(ctx context.Context) (err error) {
	defer panics.Catch(&err)
	if d.features.Destroyer != nil {
		return d.features.Destroyer.Destroy(ctx)
	}
	return nil
}

// sameStorage reports whether two doors are known to lead to one storage. Before Init only the
// addresses are compared.
func (d *door) sameStorage(other *door) bool {
	if d.features.Shared == nil || other.features.Shared == nil {
		return false
	}
	where, id := d.location(), d.storageID()
	return where != "" && where == other.location() || id != "" && id == other.storageID()
}

// storage is the place behind one or more doors.
type storage struct{ _ byte } // not of size zero, so that each has an address of its own

// leadsTo reports whether two doors are known to lead to the same entries. An address may lead to
// another storage by now, which has another ID.
func (d *door) leadsTo(other *door) bool {
	if d.prefix != other.prefix || !d.sameStorage(other) {
		return false
	}
	id, its := d.storageID(), other.storageID()
	return id == "" || its == "" || id == its
}

// insteadOf reports whether a door can take the place of the one in use at once: it leads to the
// same entries, and no other is coming.
func (d *door) insteadOf(ds *doors) bool { return ds.newest() == ds.current && d.leadsTo(ds.current) }

// knows reports whether what is stored or removed at another door needs no telling at this one. A
// fence does not see what happens at another door.
func (d *door) knows(other *door) bool {
	return d.storage == other.storage && !d.fenced && !other.fenced
}

// unlessRetired returns the error of a revocation, unless the door was retired meanwhile.
func (d *door) unlessRetired(err error) error {
	if d.retired.Load() {
		return nil
	}
	return err
}

// clash is the error if another store has the same namespace in the same storage.
func (d *door) clash(other *door) error {
	return &OptionError{Name: "namespace", Reason: fmt.Sprintf("must differ from that of the store %q, which is in the same storage", other.store.name)}
}

// storageID is the ID of the storage, or "".
func (d *door) storageID() (id string) {
	var err error
	defer panics.Catch(&err)
	return d.features.Shared.StorageID()
}

// location is where the storage is, or "".
func (d *door) location() (location string) {
	if d.features.Located == nil {
		return ""
	}
	var err error
	defer panics.Catch(&err)
	return d.features.Located.Location()
}

// claimName is the key of the claim. No cache has such a key: theirs have a ':' after the
// namespace.
const claimName = "claim"

// unknownClaim is the claim of a storage that could not be asked.
const unknownClaim = "unknown"

// claimed returns the claim that is in the storage, "" if there is none, or unknownClaim.
func (d *door) claimed(ctx context.Context) string {
	var claim string
	err := d.callWithin(ctx, d.timeout(), func(ctx context.Context) error {
		value, found, err := d.leaser.Get(ctx, d.prefix+claimName)
		if found {
			claim = string(value)
		}
		return err
	})
	if err != nil {
		return unknownClaim
	}
	return claim
}

// open lets reads in at a door that was closed. Before that, it clears the storage, unless another
// node has done so since this one began to tell the storage of its revocations: then there is
// another claim than old. While the storage fails, open tries again, unless the door is retired.
func (d *door) open(ctx context.Context, old string) {
	for pauses := (backoff.Backoff{First: 25 * time.Millisecond, Last: 500 * time.Millisecond, Jitter: true}); !d.retired.Load(); {
		err := d.tryOpen(ctx, old)
		if err == nil {
			d.closed.Store(false)
			return
		}
		d.store.logger.warn(ctx, ofRevocations, "cache: the new storage cannot be cleared; no hits are served until it is", err)
		if !pauses.Wait(ctx) {
			return
		}
	}
}

// tryOpen is one try of open.
func (d *door) tryOpen(ctx context.Context, old string) error {
	if claim := d.claimed(ctx); claim != "" && claim != unknownClaim && claim != old && old != unknownClaim {
		return nil
	}
	if d.features.Clearer == nil { // not shared, so it was empty at first
		return nil
	}
	if err := d.callWithin(ctx, clearTimeout, d.clearStrategy); err != nil {
		return err
	}
	if d.features.Shared == nil {
		return nil
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	// It has to last until every node has come. If it does not, a node clears once more. So it also
	// does not matter much if it cannot be stored.
	ttl := min(2*d.store.options().Handover+time.Minute, d.store.options().MaxTTL)
	err := d.callWithin(ctx, d.timeout(), func(ctx context.Context) error {
		return d.leaser.Set(ctx, d.prefix+claimName, []byte(hex.EncodeToString(id)), SetOptions{TTL: ttl})
	})
	if err != nil {
		d.store.logger.warn(ctx, ofRevocations, "cache: the new storage was cleared, and the other nodes cannot be told; they clear it once more", err)
	}
	return nil
}

// errNoClear is why a shared storage cannot be put into use while the application runs.
var errNoClear = errors.New("the strategy is not a driver.Clearer, so what the storage holds from earlier cannot be cleared: restart the application")

// replaceable reports why the storage behind a door cannot be put into use while the application
// runs.
func (d *door) replaceable() error {
	if d.features.Shared != nil && d.features.Clearer == nil {
		return fmt.Errorf("%w: %w", driver.ErrUnsupported, errNoClear)
	}
	return nil
}
