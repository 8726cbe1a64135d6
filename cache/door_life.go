package cache

import (
	"context"
	"fmt"

	"go.uber.org/dig"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/panics"
)

// init initialises the strategy.
func (d *door) init(ctx context.Context, in driver.Injector) error {
	initializer := d.features.Initializer
	if initializer == nil {
		return nil
	}
	if d.store.name != defaultStore {
		container, ok := in.(interface {
			Scope(name string, opts ...dig.ScopeOption) *dig.Scope
		})
		if !ok {
			return fmt.Errorf("several stores need a *dig.Container or a *dig.Scope, not %T", in)
		}
		scope := container.Scope("store " + d.store.name)
		if err := scope.Decorate(func(driver.Limits) driver.Limits { return d.store.options.Limits() }); err != nil {
			return err
		}
		in = scope
	}
	return initializer.Init(ctx, in)
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
