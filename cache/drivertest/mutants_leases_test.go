package drivertest_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

var leaseMutants = []mutant{
	broke("lease on a hit", "Leases/GetOrLeaseHit", func(b *broken, r *reference) {
		b.getOrLease = func(key string) ([]byte, bool, *driver.Lease, error) {
			value, found, err := r.Get(anyContext, key)
			lease, _ := r.Lease(anyContext, key)
			return value, found, lease, err
		}
	}),
	broke("no lease on a miss", "Leases/GetOrLeaseMiss", func(b *broken, r *reference) {
		b.getOrLease = func(key string) ([]byte, bool, *driver.Lease, error) {
			value, found, err := r.Get(anyContext, key)
			return value, found, nil, err
		}
	}),
	broke("get_or_lease looks at the map only", "Leases/GetOrLeaseSeesWhatGetSees", func(b *broken, r *reference) {
		b.getOrLease = func(key string) ([]byte, bool, *driver.Lease, error) {
			if e := r.entries[key]; e != nil {
				return slices.Clone(e.value), true, nil, nil
			}
			lease, err := r.Lease(anyContext, key)
			return nil, false, lease, err
		}
	}),
	broke("everybody gets a lease", "Leases/OneHolder LeaseRaces/OneHolder", func(b *broken, r *reference) {
		lease := func(key string) *driver.Lease {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.leases, key)
			return r.lease(key)
		}
		b.lease = func(key string) (*driver.Lease, error) { return lease(key), nil }
		b.getOrLease = func(key string) ([]byte, bool, *driver.Lease, error) { return nil, false, lease(key), nil }
	}),
	broke("fill keeps the lease", "Leases/FillFreesTheLease Leases/FillTwice", func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			defer func() { r.leases[lease.Key] = lease }()
			return r.Fill(ctx, lease, value, opts)
		}
	}),
	broke("release does nothing", "Leases/ReleaseFreesTheLease", func(b *broken, _ *reference) {
		b.release = func(*driver.Lease) error { return nil }
	}),
	broke("release deletes", "Leases/ReleaseFreesTheLease", func(b *broken, r *reference) {
		b.release = func(lease *driver.Lease) error { return r.Delete(anyContext, lease.Key) }
	}),
	broke("release frees anybody's lease", "Leases/ReleaseOfNoUse", func(b *broken, r *reference) {
		b.release = func(lease *driver.Lease) error {
			if lease != nil {
				delete(r.leases, lease.Key)
			}
			return nil
		}
	}),
	broke("release of a used lease fails", "Leases/ReleaseOfNoUse", func(b *broken, r *reference) {
		b.release = func(lease *driver.Lease) error {
			if lease == nil || r.leases[lease.Key] != lease {
				return errMutant
			}
			return r.Release(anyContext, lease)
		}
	}),
	broke("fill forgets the TTL", "Leases/FillStoresTTLAndTags", fillWith(func(_ *driver.Lease, opts *driver.SetOptions) { opts.TTL += time.Hour })),
	broke("fill forgets learned tags", "Leases/FillStoresTTLAndTags", func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			stored, err := r.Fill(ctx, lease, value, opts)
			if e := r.entries[lease.Key]; stored {
				e.tags = slices.DeleteFunc(slices.Clone(opts.Tags), isLearned)
			}
			return stored, err
		}
	}),
	broke("fill keeps the replaced tags and TTL", "Leases/FillReplacesWhole", func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			before := r.entries[lease.Key]
			stored, err := r.Fill(ctx, lease, value, opts)
			if before != nil && stored {
				r.entries[lease.Key].tags, r.entries[lease.Key].expires = before.tags, before.expires
			}
			return stored, err
		}
	}),
	broke("release leaves the lease usable", "Leases/FillAfterSuccessor", func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			r.leases[lease.Key] = lease
			return r.Fill(ctx, lease, value, opts)
		}
	}),
	broke("set does not fence", "Leases/FillAfterSet HeldLoader/RandomSchedules", func(b *broken, r *reference) {
		b.set = func(_ context.Context, key string, value []byte, opts driver.SetOptions) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.set(key, value, opts)
		}
	}),
	broke("set and delete do not fence", "Leases/FillAfterSetAndDelete Leases/FillAfterDelete Leases/FillAfterRefusedSet Leases/FillAfterManyDeletes HeldLoader/RandomSchedules",
		func(b *broken, r *reference) {
			b.set = func(_ context.Context, key string, value []byte, opts driver.SetOptions) error {
				return r.set(key, value, opts)
			}
			b.delete = func(_ context.Context, keys []string) error {
				for _, key := range keys {
					r.remove(key)
				}
				return nil
			}
		}),
	broke("delete keeps the lease taken", "Leases/LeaseEndsWithInvalidation", func(b *broken, r *reference) {
		b.delete = func(_ context.Context, keys []string) error {
			for _, key := range keys {
				r.remove(key)
				if lease := r.leases[key]; lease != nil {
					r.leases[key] = &driver.Lease{Key: key, State: lease.State}
				}
			}
			return nil
		}
	}),
	broke("fill checks no tags", "LeaseRaces/VersionsNeverGoBack Leases/FillAfterInvalidation HeldLoader/RandomSchedules", fillWith(func(lease *driver.Lease, _ *driver.SetOptions) {
		lease.Sequence = 1 << 62
	})),
	broke("fill checks no learned tags", "Leases/FillAfterInvalidationOfLearnedTag HeldLoader/RandomSchedules",
		func(b *broken, r *reference) {
			b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
				if r.invalidated(slices.DeleteFunc(slices.Clone(opts.Tags), isLearned), lease.Sequence) {
					return false, nil
				}
				lease.Sequence = r.sequence
				return r.Fill(ctx, lease, value, opts)
			}
		}),
	broke("fill checks learned tags only", "Leases/FillAfterInvalidation HeldLoader/RandomSchedules", func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			learned := slices.DeleteFunc(slices.Clone(opts.Tags), func(tag string) bool { return !isLearned(tag) })
			if r.invalidated(learned, lease.Sequence) {
				return false, nil
			}
			lease.Sequence = r.sequence
			return r.Fill(ctx, lease, value, opts)
		}
	}),
	broke("clear does not fence", "Leases/FillAfterClear LeaseRaces/FillAgainstClear", func(b *broken, r *reference) {
		b.clear = func() error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.order, r.used, r.entries = nil, 0, make(map[string]*entry)
			return nil
		}
	}),
	broke("refused fill deletes", "Leases/RefusedFillKeepsTheEntry", func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			stored, err := r.Fill(ctx, lease, value, opts)
			if !stored {
				_ = r.Delete(ctx, lease.Key)
			}
			return stored, err
		}
	}),
	broke("refused fill is an error", "Leases/FillTwice", func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			stored, err := r.Fill(ctx, lease, value, opts)
			if !stored && err == nil {
				err = errMutant
			}
			return stored, err
		}
	}),
	broke("fill with bad TTL keeps the value", "Leases/FillWithInvalidTTL", func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			if opts.TTL <= 0 {
				return false, driver.ErrInvalidTTL
			}
			return r.Fill(ctx, lease, value, opts)
		}
	}),
	broke("lease for ever", "Leases/LeaseExpires", func(_ *broken, r *reference) { r.leaseTTL = 720 * time.Hour }),
	broke("expired lease fills", "Leases/LeaseExpires", fillWith(func(lease *driver.Lease, _ *driver.SetOptions) {
		lease.State = lease.State.(time.Time).Add(720 * time.Hour)
	})),
	broke("every write refuses every fill", "Leases/UnrelatedWritesRefuseFew", func(b *broken, r *reference) {
		b.delete = func(ctx context.Context, keys []string) error {
			clear(r.leases)
			return r.Delete(ctx, keys...)
		}
	}),
	broke("older invalidations refuse", "Leases/InvalidationBeforeTheLease", func(b *broken, r *reference) {
		b.lease = func(key string) (*driver.Lease, error) {
			lease, err := r.Lease(anyContext, key)
			if lease != nil {
				lease.Sequence = 0
			}
			return lease, err
		}
	}),
	broke("extend does nothing", "Extending/KeepsTheLease", func(b *broken, r *reference) {
		b.extend = func(lease *driver.Lease) (bool, error) {
			return lease != nil && r.leases[lease.Key] == lease && r.alive(lease), nil
		}
	}),
	broke("extend without end", "Extending/EndsWithLeaseTTL", func(b *broken, r *reference) {
		b.extend = func(lease *driver.Lease) (bool, error) {
			r.granted[lease] = r.clock.Now()
			return r.Extend(anyContext, lease)
		}
	}),
	broke("extend brings a used lease back", "Extending/OfNoUse", func(b *broken, r *reference) {
		b.extend = func(lease *driver.Lease) (bool, error) {
			if lease != nil {
				r.leases[lease.Key] = lease
			}
			return r.Extend(anyContext, lease)
		}
	}),
	broke("extend brings an expired lease back", "Extending/OfExpired", func(b *broken, r *reference) {
		b.extend = func(lease *driver.Lease) (bool, error) {
			if lease == nil || r.leases[lease.Key] != lease {
				return false, nil
			}
			lease.State = r.clock.Now().Add(r.leaseTTL)
			return true, nil
		}
	}),
	broke("extend forgives invalidations", "Extending/ForgivesNothing", func(b *broken, r *reference) {
		b.extend = func(lease *driver.Lease) (bool, error) {
			held, err := r.Extend(anyContext, lease)
			if held {
				lease.Sequence = r.sequence
			}
			return held, err
		}
	}),
	broke("invalidation knows no learned tags", "HeldLoader/RandomSchedules", func(b *broken, r *reference) {
		b.invalidate = func(ctx context.Context, tags []string) error {
			return r.InvalidateTags(ctx, slices.DeleteFunc(slices.Clone(tags), isLearned)...)
		}
	}),
}

// fillWith returns a mutation that fills with another lease or other options. isLearned reports
// whether the suite uses a tag as one that depends on the loaded value.
func isLearned(tag string) bool { return strings.Contains(tag, "learned") }

func fillWith(change func(lease *driver.Lease, opts *driver.SetOptions)) func(b *broken, r *reference) {
	return func(b *broken, r *reference) {
		b.fill = func(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (bool, error) {
			change(lease, &opts)
			return r.Fill(ctx, lease, value, opts)
		}
	}
}
