package drivertest

import (
	"context"
	"github.com/fxcache/fxcache/cache/driver"
	"slices"
)

// recorded is the strategy that Record returns.
type recorded struct {
	recorder *Recorder
	inner    driver.Strategy
	features driver.Features // of inner
}

// Features implements driver.Featured: the optional parts of inner, each with the recorder around
// it. Immediate is false, because a recorder may be told to wait; it listens to contexts meanwhile.
func (s *recorded) Features() driver.Features {
	f := s.features
	if f.Leaser != nil {
		f.Leaser = &recordedLeaser{s, f.Leaser}
	}
	if f.BatchLeaser != nil {
		f.BatchLeaser = recordedBatchLeaser{s.recorder, f.BatchLeaser}
	}
	if f.LeaseExtender != nil {
		f.LeaseExtender = recordedExtender{f.LeaseExtender, s.recorder}
	}
	if f.Notifier != nil {
		f.Notifier = recordedNotifier{s.recorder, f.Notifier}
	}
	if f.Hinted != nil {
		f.Hinted = recordedHinted{s.recorder, f.Hinted}
	}
	if f.Batcher != nil {
		f.Batcher = recordedBatcher{s.recorder, f.Batcher}
	}
	if f.Near != nil {
		f.Near = recordedNear{s.recorder, f.Near}
	}
	if f.Clearer != nil {
		f.Clearer = recordedClearer{s.recorder, f.Clearer}
	}
	f.Cancellable = f.Cancellable || f.Immediate
	f.Immediate = false
	return f
}

func (s *recorded) Get(ctx context.Context, key string) (value []byte, found bool, err error) {
	err = s.recorder.do(ctx, Operation{Name: OpGet, Keys: []string{key}}, func() (err error) {
		value, found, err = s.inner.Get(ctx, key)
		return err
	})
	return value, found, err
}

func (s *recorded) Set(ctx context.Context, key string, value []byte, opts driver.SetOptions) error {
	return s.recorder.do(ctx, Operation{Name: OpSet, Keys: []string{key}, Tags: opts.Tags, TTL: opts.TTL}, func() error {
		return s.inner.Set(ctx, key, value, opts)
	})
}

func (s *recorded) Delete(ctx context.Context, keys ...string) error {
	return s.recorder.do(ctx, Operation{Name: OpDelete, Keys: keys}, func() error {
		return s.inner.Delete(ctx, keys...)
	})
}

func (s *recorded) InvalidateTags(ctx context.Context, tags ...string) error {
	return s.recorder.do(ctx, Operation{Name: OpInvalidate, Tags: tags}, func() error {
		return s.inner.InvalidateTags(ctx, tags...)
	})
}

// recordedClearer records Clear.
type recordedClearer struct {
	recorder *Recorder
	inner    driver.Clearer
}

func (s recordedClearer) Clear(ctx context.Context) error {
	return s.recorder.do(ctx, Operation{Name: OpClear}, func() error { return s.inner.Clear(ctx) })
}

// recordedHinted records GetHinted as a Get.
type recordedHinted struct {
	recorder *Recorder
	inner    driver.Hinted
}

func (s recordedHinted) GetHinted(ctx context.Context, key string, tags []string) (value []byte, found bool, err error) {
	err = s.recorder.do(ctx, Operation{Name: OpGet, Keys: []string{key}, Tags: tags}, func() (err error) {
		value, found, err = s.inner.GetHinted(ctx, key, tags)
		return err
	})
	return value, found, err
}

// recordedNear records GetFar as a Get, and GetManyFar as a GetMany, and has them look for copies.
// So what is planned for a Get holds for an entry with a copy too.
type recordedNear struct {
	recorder *Recorder
	inner    driver.Near
}

func (s recordedNear) GetNear(string) (value []byte, found bool) { return nil, false }

func (s recordedNear) GetFar(ctx context.Context, key string, tags []string, copies driver.CopyOptions) (value []byte, found bool, err error) {
	err = s.recorder.do(ctx, Operation{Name: OpGet, Keys: []string{key}, Tags: tags}, func() (err error) {
		if value, found = s.copy(key, copies); !found {
			value, found, err = s.inner.GetFar(ctx, key, tags, copies)
		}
		return err
	})
	return value, found, err
}

func (s recordedNear) copy(key string, copies driver.CopyOptions) (value []byte, found bool) {
	if copies.Off {
		return nil, false
	}
	return s.inner.GetNear(key)
}

func (s recordedNear) GetManyFar(ctx context.Context, keys, tags []string, copies driver.CopyOptions) []driver.Result {
	results := make([]driver.Result, len(keys))
	err := s.recorder.do(ctx, Operation{Name: OpGetMany, Keys: keys, Tags: tags}, func() error {
		var far []string
		var places []int // in results
		for i, key := range keys {
			if results[i].Value, results[i].Found = s.copy(key, copies); !results[i].Found {
				far, places = append(far, key), append(places, i)
			}
		}
		for n, result := range s.inner.GetManyFar(ctx, far, tags, copies) {
			results[places[n]] = result
		}
		return nil
	})
	if err != nil {
		return slices.Repeat([]driver.Result{{Err: err}}, len(keys))
	}
	return results
}

// recordedNotifier records Notify. A planned failure loses the notice.
type recordedNotifier struct {
	recorder *Recorder
	inner    driver.Notifier
}

func (s recordedNotifier) Notify(ctx context.Context, key string) (notice <-chan struct{}) {
	_ = s.recorder.do(ctx, Operation{Name: OpNotify, Keys: []string{key}}, func() error {
		notice = s.inner.Notify(ctx, key)
		return nil
	})
	return notice
}

// recordedExtender records Extend.
type recordedExtender struct {
	driver.LeaseExtender
	recorder *Recorder
}

func (s recordedExtender) Extend(ctx context.Context, lease *driver.Lease) (held bool, err error) {
	err = s.recorder.do(ctx, Operation{Name: OpExtend, Keys: keysOf(lease)}, func() (err error) {
		held, err = s.LeaseExtender.Extend(ctx, lease)
		return err
	})
	return held, err
}

// recordedLeaser records the operations of a Leaser.
type recordedLeaser struct {
	*recorded
	leaser driver.Leaser
}

func (s *recordedLeaser) GetOrLease(ctx context.Context, key string) (value []byte, found bool, lease *driver.Lease, err error) {
	err = s.recorder.do(ctx, Operation{Name: OpGetOrLease, Keys: []string{key}}, func() (err error) {
		value, found, lease, err = s.leaser.GetOrLease(ctx, key)
		return err
	})
	return value, found, lease, err
}

func (s *recordedLeaser) Lease(ctx context.Context, key string) (lease *driver.Lease, err error) {
	err = s.recorder.do(ctx, Operation{Name: OpLease, Keys: []string{key}}, func() (err error) {
		lease, err = s.leaser.Lease(ctx, key)
		return err
	})
	return lease, err
}

func (s *recordedLeaser) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts driver.SetOptions) (stored bool, err error) {
	operation := Operation{Name: OpFill, Keys: keysOf(lease), Tags: opts.Tags, TTL: opts.TTL}
	err = s.recorder.do(ctx, operation, func() (err error) {
		stored, err = s.leaser.Fill(ctx, lease, value, opts)
		return err
	})
	return stored, err
}

func (s *recordedLeaser) Release(ctx context.Context, lease *driver.Lease) error {
	return s.recorder.do(ctx, Operation{Name: OpRelease, Keys: keysOf(lease)}, func() error {
		return s.leaser.Release(ctx, lease)
	})
}

// recordedBatcher records the operations of a Batcher. A planned failure fails each of the keys.
type recordedBatcher struct {
	recorder *Recorder
	batcher  driver.Batcher
}

func (s recordedBatcher) GetMany(ctx context.Context, keys, tags []string) (results []driver.Result) {
	err := s.recorder.do(ctx, Operation{Name: OpGetMany, Keys: keys, Tags: tags}, func() error {
		results = s.batcher.GetMany(ctx, keys, tags)
		return nil
	})
	if err != nil {
		results = slices.Repeat([]driver.Result{{Err: err}}, len(keys))
	}
	return results
}

func (s recordedBatcher) SetMany(ctx context.Context, items []driver.Item) (failures []error) {
	keys := make([]string, len(items))
	for i, item := range items {
		keys[i] = item.Key
	}
	err := s.recorder.do(ctx, Operation{Name: OpSetMany, Keys: keys}, func() error {
		failures = s.batcher.SetMany(ctx, items)
		return nil
	})
	if err != nil {
		failures = slices.Repeat([]error{err}, len(items))
	}
	return failures
}
