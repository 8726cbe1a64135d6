package redis

import (
	"strconv"
	"strings"
)

// names makes Redis keys of the Service's: "<namespace>:<kind>:{<lane>}:<name>". All that an operation
// must see as one shares a lane, which is the hash tag, and so a slot of a Cluster. The namespace comes
// first, so that an ACL rule can be limited to it.
type names struct{ lanes int }

// The kinds of keys.
const (
	kindValue  = "v"
	kindLease  = "l"
	kindTag    = "t"
	kindLedger = "g" // one for each lane
	kindMark   = "w" // one for each lane, see mark.lua
)

// buckets is how many parts the tags are divided into, in the ledger. Two tags that share one refuse
// each other's fills for as long as a loader runs.
const buckets = 1024

// braces escapes what would be taken for the hash tag; '%' is escaped in a namespace already.
var braces = strings.NewReplacer("{", "%7B", "}", "%7D")

// split cuts the namespace off a key or tag of the Service.
func split(name string) (namespace, rest string) {
	namespace, rest, found := strings.Cut(name, ":")
	if !found { // nobody but a test: the Service puts its namespace before each
		return "%", name
	}
	if strings.ContainsAny(namespace, "{}") {
		namespace = braces.Replace(namespace)
	}
	return namespace, rest
}

// lane returns the lane of a key.
func (n names) lane(key string) int {
	if n.lanes == 1 {
		return 0
	}
	return int(hash(key) % uint64(n.lanes)) //nolint:gosec // below lanes
}

func prefix(namespace, kind string, lane int) string {
	return namespace + ":" + kind + ":{" + strconv.Itoa(lane) + "}:"
}

// place is where one key of the Service is. Its methods make the Redis keys.
type place struct {
	namespace, name string
	lane            int
}

func (n names) of(key string) place {
	namespace, name := split(key)
	return place{namespace, name, n.lane(key)}
}

func (p place) value() string  { return p.in(kindValue) + p.name }
func (p place) lease() string  { return p.in(kindLease) + p.name }
func (p place) ledger() string { return p.in(kindLedger) }

// tags is the prefix of the keys of tags.
func (p place) tags() string { return p.in(kindTag) }

func (p place) in(kind string) string { return prefix(p.namespace, kind, p.lane) }

// bucket returns the field of the ledger that a tag is noted under.
func bucket(tag string) string { return strconv.FormatUint(hash(tag)%buckets, 10) }

// hash is FNV-1a, 64 bits: all processes that share a Redis must agree on it.
func hash(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}
