package cache

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fxcache/fxcache/cache/internal/entry"
)

// NameError says that a Service already has a cache of the same name, with another type or another
// policy. Each of the two would read and replace what the other one stored. Find it with errors.As.
type NameError struct {
	// Name is the name that is taken.
	Name string
	// Differs names what differs: "T", or fields of Policy. It is never empty.
	Differs []string

	types [2]reflect.Type // the old one and the new one
}

// Error implements error.
func (e *NameError) Error() string {
	text := fmt.Sprintf("cache %q: there is a cache of that name already, and they differ in %s", e.Name, strings.Join(e.Differs, ", "))
	if e.types[0] == e.types[1] {
		return text + "; give this one another name, or both the same policy"
	}
	return fmt.Sprintf("%s (%s and now %s); give this one another name", text, entry.NameOf(e.types[0]), entry.NameOf(e.types[1]))
}

// trait is a property that two caches of one name must have in common.
type trait struct {
	name  string
	value any // comparable
}

// traits returns the traits of a cache, the type first. Functions cannot be compared, but their
// presence can. For example, if only one of two caches has TagsOf, the entries of the other one
// lack tags.
func traits[T any](p Policy[T]) []trait {
	tags := slices.Clone(p.Tags)
	slices.Sort(tags)
	return []trait{
		{"T", reflect.TypeFor[T]()},
		{"TTL", p.TTL}, {"Jitter", p.Jitter}, {"StaleFor", p.StaleFor}, {"StaleAfter", p.StaleAfter}, {"EarlyRefresh", p.EarlyRefresh},
		{"NegativeTTL", p.NegativeTTL}, {"Tags", fmt.Sprintf("%q", slices.Compact(tags))}, {"TagsOf", p.TagsOf != nil},
		{"TTLOf", p.TTLOf != nil}, {"Fresh", p.Fresh != nil}, {"HashKeys", p.HashKeys}, {"Version", p.Version},
	}
}

// caches are the caches of a Service by name, those of the configuration included. A name stays
// taken for as long as the Service lives.
type caches struct {
	mu     sync.Mutex
	byName map[string]*namedCache
	stores map[string]*store
}

// namedCache is what all caches of one name have in common.
type namedCache struct {
	name   string
	store  *store
	traits []trait // nil: no cache has this name yet
	// options are the operator's. They change when the configuration is loaded again.
	options atomic.Pointer[CacheOptions]
}

// enabled reports whether entries may be read and stored.
func (c *namedCache) enabled() bool {
	enabled := c.options.Load().Enabled
	return enabled == nil || *enabled
}

// place takes over what the configuration says about caches.
func (c *caches) place(configured Caches, stores []*store) error {
	errs := []error{configured.Validate()}
	c.byName, c.stores = make(map[string]*namedCache, len(configured)), make(map[string]*store, len(stores))
	for _, s := range stores {
		c.stores[s.name] = s
	}
	for _, name := range slices.Sorted(maps.Keys(configured)) {
		options := configured[name]
		named := &namedCache{name: name, store: c.stores[options.storeName()]}
		if named.store == nil {
			errs = append(errs, options.unknownStore(name, stores))
			continue
		}
		named.options.Store(&options)
		c.byName[name] = named
	}
	return errors.Join(errs...)
}

// at returns the cache of a name, and makes it if there is none. Those that nothing is configured
// for are in the store that elsewhere is.
func (c *caches) at(name string, elsewhere *store) *namedCache {
	c.mu.Lock()
	defer c.mu.Unlock()
	named, there := c.byName[name]
	if !there {
		named = &namedCache{name: name, store: elsewhere}
		named.options.Store(new(CacheOptions))
		c.byName[name] = named
	}
	return named
}

// claim takes a name. If the name is taken, claim checks that the traits are the same: an
// application may make the same cache again at each start.
func (c *caches) claim(named *namedCache, wanted []trait) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := named.traits
	if taken == nil {
		named.traits = wanted
		return nil
	}
	err := &NameError{Name: named.name, types: [2]reflect.Type{taken[0].value.(reflect.Type), wanted[0].value.(reflect.Type)}}
	for i := range wanted {
		if taken[i] != wanted[i] {
			err.Differs = append(err.Differs, wanted[i].name)
		}
	}
	if err.Differs == nil {
		return nil
	}
	return err
}

// names returns the names that the configuration has and no cache, and the names of caches.
func (c *caches) names() (unused, used []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.byName)) {
		if c.byName[name].traits == nil {
			unused = append(unused, name)
		} else {
			used = append(used, name)
		}
	}
	return unused, used
}
