package cache

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

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
		{"TTL", p.TTL}, {"Jitter", p.Jitter}, {"StaleFor", p.StaleFor}, {"EarlyRefresh", p.EarlyRefresh},
		{"NegativeTTL", p.NegativeTTL}, {"Tags", fmt.Sprintf("%q", slices.Compact(tags))}, {"TagsOf", p.TagsOf != nil},
		{"TTLOf", p.TTLOf != nil}, {"Fresh", p.Fresh != nil}, {"HashKeys", p.HashKeys}, {"Version", p.Version},
	}
}

// names holds the names of a Service's caches. A name stays taken for as long as the Service lives.
type names struct {
	mu    sync.Mutex
	taken map[string][]trait
}

// claim takes a name. If the name is taken, claim checks that the traits are the same: an
// application may make the same cache again at each start.
func (n *names) claim(name string, wanted []trait) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken, there := n.taken[name]
	if !there {
		if n.taken == nil {
			n.taken = make(map[string][]trait)
		}
		n.taken[name] = wanted
		return nil
	}
	err := &NameError{Name: name, types: [2]reflect.Type{taken[0].value.(reflect.Type), wanted[0].value.(reflect.Type)}}
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
