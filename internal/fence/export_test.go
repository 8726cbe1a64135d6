package fence

// These functions are for the tests of bounds. No caller needs them.

// StripeCount is the number of parts into which leases are divided.
const StripeCount = stripeCount

// Leases counts the leases that are kept, dead ones included.
func (f *Fence) Leases() (n int) {
	for i := range f.stripes {
		f.stripes[i].Lock()
		n += len(f.stripes[i].leases)
		f.stripes[i].Unlock()
	}
	return n
}

// TagLog counts the tags that are remembered, and the elements of the queues that order them.
func (f *Fence) TagLog() (remembered, queued int) {
	for i := range f.tags.shards {
		s := &f.tags.shards[i]
		s.RLock()
		remembered += len(s.last)
		queued += len(s.queue)
		s.RUnlock()
	}
	return remembered, queued
}

// Floor is the highest sequence that was forgotten.
func (f *Fence) Floor() (floor uint64) {
	for i := range f.tags.shards {
		s := &f.tags.shards[i]
		s.RLock()
		floor = max(floor, s.floor)
		s.RUnlock()
	}
	return floor
}

// Begin and Finish are the two halves of InvalidateTags, so that a test can run something in
// between.
func (f *Fence) Begin() (sequence uint64) { return f.sequence.Add(1) }

// Finish is the second half of InvalidateTags.
func (f *Fence) Finish(sequence uint64, tags ...uint64) {
	for _, tag := range tags {
		f.tags.note(tag, sequence)
	}
	raise(&f.invalidated, sequence)
}

// Locked reports whether an operation holds the lock of key.
func (f *Fence) Locked(key uint64) bool {
	s := f.stripe(key)
	if s.TryLock() {
		s.Unlock()
		return false
	}
	return true
}
