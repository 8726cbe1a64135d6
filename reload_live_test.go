package fxcache_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// live is an application on a file that it watches.
type live struct {
	*watched
	service  *cache.Service
	sessions sessioncache.Sessions
}

func startLive(t *testing.T, text string, options ...fx.Option) *live {
	t.Helper()
	l := &live{}
	path := yamlPath(t)
	put(t, path, text)
	l.watched = startWatched(t, path, append(options, fx.Populate(&l.service, &l.sessions))...)
	return l
}

// edit replaces the file, as editors do, and waits until its content is in force.
func (l *live) edit(t *testing.T, text string) {
	t.Helper()
	before := l.reloader.Status()
	l.replace(t, text)
	eventually(t, "the next configuration", func() bool {
		status := l.reloader.Status()
		if status.LastError != nil && status.FailedAt.After(before.FailedAt) {
			t.Fatalf("%v, in\n%s", status.LastError, text)
		}
		return status.Generation > before.Generation
	})
}

func (l *live) replace(t *testing.T, text string) {
	t.Helper()
	put(t, l.path+"~", text)
	if err := os.Rename(l.path+"~", l.path); err != nil {
		t.Fatal(err)
	}
}

// uses waits until the store named "default" has a strategy and a place, and serves hits.
func (l *live) uses(t *testing.T, strategy, location string) {
	t.Helper()
	eventually(t, "the use of "+strategy+" "+location, func() bool {
		store := l.service.Stores()[0]
		if store.Strategy != strategy || !strings.Contains(store.Location, location) {
			return false
		}
		_, err := l.service.Get(t.Context(), "k", new(int)) // fails until it is clear
		return err == nil
	})
}

// row is a row of a database that all nodes have in common. Its version is what a loader reads.
// acknowledged is the newest version of which a revocation has returned nil: from then on no node
// may return an older one.
type row struct{ version, acknowledged atomic.Int64 }

// crowd has 16 clients read, change and revoke rows on several nodes, until the returned function
// is called. Every error, and everything that is stale, fails the test. It returns how many rows
// were read from the cache, and how many were loaded.
func crowd(t *testing.T, nodes ...*live) (stop func() (cached, loaded int64)) {
	t.Helper()
	var rows [8]row
	var clients sync.WaitGroup
	var reads, loads atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	for client := range 16 {
		node := nodes[client%len(nodes)]
		products := caches(t, node.service, "product", cache.Policy[int64]{TagsOf: func(int64) []string { return []string{"all"} }})
		clients.Go(func() {
			for i := client; ctx.Err() == nil; i++ {
				row, key := &rows[i%len(rows)], string(rune('a'+i%len(rows)))
				if i%5 == 0 {
					version := row.version.Add(1)
					var err error
					if i%3 == 0 {
						err = node.service.InvalidateTags(context.Background(), "all")
					} else {
						err = products.Delete(context.Background(), key)
					}
					if err != nil {
						t.Errorf("a revocation: %v", err)
						return
					}
					for known := row.acknowledged.Load(); known < version && !row.acknowledged.CompareAndSwap(known, version); {
						known = row.acknowledged.Load()
					}
				}
				acknowledged := row.acknowledged.Load()
				got, err := products.GetOrLoad(context.Background(), key, func(context.Context) (int64, error) {
					loads.Add(1)
					return row.version.Load(), nil
				})
				if reads.Add(1); err != nil || got < acknowledged {
					t.Errorf("read version %d, %v, after the revocation of those before %d had returned", got, err, acknowledged)
					return
				}
			}
		})
	}
	return func() (int64, int64) {
		cancel()
		clients.Wait()
		return reads.Load() - loads.Load(), loads.Load()
	}
}
