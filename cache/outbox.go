package cache

import (
	"context"
	"time"

	"github.com/fxcache/fxcache/cache/internal/revocation"
)

// Revocation is one thing that must not be served any more.
type Revocation struct {
	// Key is a key that was deleted, as the strategy knows it, but without the namespace: a digest
	// for caches with Policy.HashKeys. It may hold any bytes.
	Key string
	// Tag is a tag that was invalidated. If Key and Tag are empty, everything was revoked.
	Tag string
	// Storage is the one that has to forget it, in words that only the cache understands. It is
	// empty in rows of earlier releases.
	Storage string
	// Until is when nothing is left that it concerns, to the hour, in UTC. The cache has the row
	// removed then. It is zero in rows of earlier releases.
	Until time.Time
}

// Outbox keeps pending revocations where they outlive the process, such as the application's
// database. In an fx application, provide one; otherwise put it into the container that Start
// receives. Methods must be safe for concurrent use, and are called with a deadline of ten seconds.
//
// Each revocation is for one storage. It is forgotten when that storage has it, or when its time is
// over. A process that runs on another storage meanwhile leaves it alone.
type Outbox interface {
	// Add keeps revocations, with all their fields. One that is there already, whatever its Until,
	// is fine.
	Add(ctx context.Context, pending []Revocation) error
	// Remove forgets revocations, because they were applied. One that is not there is fine. If
	// several processes share the storage, it must forget only what this process has added, or was
	// given by Pending: another process may have added the same again by now.
	Remove(ctx context.Context, applied []Revocation) error
	// Pending returns what was added and not removed, for every storage. Start applies what
	// concerns its own before the first hit is served.
	Pending(ctx context.Context) ([]Revocation, error)
}

// outboxRows is an Outbox as the queue of pending revocations knows it.
type outboxRows struct{ outbox Outbox }

func (o outboxRows) Add(ctx context.Context, pending []revocation.Revocation) error {
	return o.outbox.Add(ctx, fromQueue(pending))
}

func (o outboxRows) Remove(ctx context.Context, applied []revocation.Revocation) error {
	return o.outbox.Remove(ctx, fromQueue(applied))
}

func (o outboxRows) Pending(ctx context.Context) ([]revocation.Revocation, error) {
	pending, err := o.outbox.Pending(ctx)
	rows := make([]revocation.Revocation, len(pending))
	for i, r := range pending {
		rows[i] = revocation.Revocation(r)
	}
	return rows, err
}

func fromQueue(rows []revocation.Revocation) []Revocation {
	revocations := make([]Revocation, len(rows))
	for i, r := range rows {
		revocations[i] = Revocation(r)
	}
	return revocations
}
