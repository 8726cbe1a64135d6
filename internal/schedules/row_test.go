package schedules_test

import (
	"context"
	"sync"
	"testing"

	"github.com/fxcache/fxcache/cache"
)

// row is the model: one row of a database, of which only the version matters. A read through the
// cache must not return a version below minVersion as it was when the read began.
type row struct {
	*schedule
	lock       sync.Mutex
	version    int64
	minVersion int64 // the latest version whose revocation has returned
}

func newRow(s *schedule) *row { return &row{schedule: s, version: 1} }

func (r *row) read() int64 {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.version
}

func (r *row) commit() int64 {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.version++
	return r.version
}

// least returns the oldest version that a read may return from now on.
func (r *row) least() int64 {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.minVersion
}

// revoked records that versions older than version must not be read any more.
func (r *row) revoked(version int64) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.minVersion = max(r.minVersion, version)
}

func (r *row) judge(a actor, what string, got, least int64) {
	a.did("was given %d", got)
	r.mu.Lock()
	r.hits++
	r.mu.Unlock()
	if got < least || got > r.read() {
		r.fail("%s: %s returned version %d, but %d was revoked before it began, and the database has %d",
			a.name, what, got, least, r.read())
	}
}

// node is one single-flight over the storage, with the ways to use it.
type node struct {
	*cache.Cache[int64]
	service *cache.Service
	row     *row
}

// policy gives the entries of each schedule a tag that is known in advance, and one that is
// learned.
func (r *row) nodes(t testing.TB, service *cache.Service, n int) []node {
	t.Helper()
	nodes := make([]node, n)
	for i := range nodes {
		c, err := cache.New(service, "rows of "+r.key(), cache.Policy[int64]{
			Tags: []string{"static:" + r.key()}, TagsOf: func(int64) []string { return []string{"learned:" + r.key()} },
		})
		must(t, err)
		nodes[i] = node{c, service, r}
	}
	return nodes
}

// pick returns one of nodes.
func pick[T any](s *schedule, nodes []T) T { return nodes[s.random.IntN(len(nodes))] }

func (n node) get(a actor) {
	least := n.row.least()
	got, found, err := n.Get(context.Background(), a.key())
	if err != nil {
		a.fail("Get: %v", err)
	}
	if found {
		n.row.judge(a, "Get", got, least)
	}
}

// getOrLoad loads what the database had when the load began: between that and the storing, all can
// happen.
func (n node) getOrLoad(ctx context.Context, a actor) {
	least := n.row.least()
	got, err := n.GetOrLoad(ctx, a.key(), func(context.Context) (int64, error) {
		version := n.row.read()
		a.pause("has read %d", version)
		return version, nil
	})
	switch {
	case err == nil:
		n.row.judge(a, "GetOrLoad", got, least)
	case ctx.Err() == nil:
		a.fail("GetOrLoad: %v", err)
	}
}

// ways are the ways to revoke. Each returns when it is done.
const ways = 4

func (n node) revoke(a actor, way int) {
	var err error
	ctx := context.Background()
	switch way {
	case 0:
		a.did("deletes")
		err = n.Delete(ctx, a.key())
	case 1:
		a.did("invalidates the static tag")
		err = n.InvalidateTags(ctx, "static:"+a.key())
	case 2:
		a.did("invalidates the learned tag")
		err = n.InvalidateTags(ctx, "learned:"+a.key())
	default:
		a.did("clears")
		err = n.service.Clear(ctx)
	}
	if err != nil {
		a.fail("a revocation on a storage that works: %v", err)
	}
}

// write commits, and then revokes what is older.
func (n node) write(a actor, way int) {
	version := n.row.commit()
	a.pause("has committed %d", version)
	n.revoke(a, way)
	n.row.revoked(version)
}
