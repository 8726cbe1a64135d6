package driver

// Features are the optional parts that a Strategy has. A part that it lacks is nil, or false.
//
// A decorator starts from the Features of the strategy that it decorates, replaces the parts that
// it wants to see, and leaves the others as they are:
//
//	func (d *Decorator) Features() driver.Features {
//		f := driver.FeaturesOf(d.inner)
//		if f.Clearer != nil {
//			f.Clearer = d
//		}
//		return f
//	}
//
// So a part that the decorator knows nothing about still works. One that replaces the Leaser
// replaces the BatchLeaser too, or takes it away: the Service prefers that.
type Features struct {
	// Leaser closes the race between a loader and an invalidation across processes.
	Leaser Leaser
	// BatchLeaser asks for, fills and gives up the leases of many keys in one round trip.
	BatchLeaser BatchLeaser
	// LeaseExtender keeps the lease of a slow loader alive.
	LeaseExtender LeaseExtender
	// LeaseLimiter tells how long a lease is good.
	LeaseLimiter LeaseLimiter
	// Notifier tells callers that wait for a lease when it ends.
	Notifier Notifier
	// Hinted reads an entry together with what is needed to judge its tags.
	Hinted Hinted
	// Batcher reads and writes many entries in one round trip.
	Batcher Batcher
	// Near serves copies in the process before it asks the storage.
	Near Near
	// Clearer makes every entry unreadable.
	Clearer Clearer
	// Initializer and Destroyer open and release what the strategy needs.
	Initializer Initializer
	Destroyer   Destroyer
	// Shared names a storage that outlives the process, or is shared with other processes.
	Shared Shared
	// Limiter takes other limits than those of Init.
	Limiter Limiter
	// Located says where the storage is.
	Located Located
	// Propagator says for how long other nodes may serve what a revocation has ended.
	Propagator Propagator
	// Local: the storage is in the process, and ends with it.
	Local bool
	// Immediate: no operation ever waits, so none needs a deadline. A decorator that may wait takes
	// this away from a strategy that is Local.
	Immediate bool
	// Cancellable: every method returns promptly when its context ends. A decorator that may wait
	// for longer takes this away.
	Cancellable bool
}

// Featured is implemented by a decorator, which has the optional parts of the strategy that it
// decorates, and not all those that its own methods suggest.
type Featured interface {
	// Features returns the optional parts. The result is the same at every call.
	Features() Features
}

// FeaturesOf returns the optional parts of a strategy: what it says itself if it is Featured, and
// otherwise the interfaces that it implements.
func FeaturesOf(strategy Strategy) Features {
	if featured, ok := strategy.(Featured); ok {
		return featured.Features()
	}
	var f Features
	f.Leaser, _ = strategy.(Leaser)
	f.BatchLeaser, _ = strategy.(BatchLeaser)
	f.LeaseExtender, _ = strategy.(LeaseExtender)
	f.LeaseLimiter, _ = strategy.(LeaseLimiter)
	f.Notifier, _ = strategy.(Notifier)
	f.Hinted, _ = strategy.(Hinted)
	f.Batcher, _ = strategy.(Batcher)
	f.Near, _ = strategy.(Near)
	f.Clearer, _ = strategy.(Clearer)
	f.Initializer, _ = strategy.(Initializer)
	f.Destroyer, _ = strategy.(Destroyer)
	f.Shared, _ = strategy.(Shared)
	f.Propagator, _ = strategy.(Propagator)
	f.Limiter, _ = strategy.(Limiter)
	f.Located, _ = strategy.(Located)
	_, f.Cancellable = strategy.(Cancellable)
	_, f.Local = strategy.(Local)
	f.Immediate = f.Local
	return f
}
