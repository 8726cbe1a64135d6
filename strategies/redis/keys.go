package redis

import (
	"encoding/binary"
	"strconv"
	"strings"
	"sync/atomic"
)

// names makes Redis keys of the Service's: "<namespace>:<kind>:{<lane>}:<name>". All that an operation
// must see as one shares a lane, which is the hash tag, and so a slot of a Cluster. The namespace comes
// first, so that an ACL rule can be limited to it.
type names struct {
	lanes int
	// latest is how the keys of the namespace that was used last begin. There is no other but in
	// tests, and to make the beginnings for each operation would cost more than all else in a read.
	latest *atomic.Pointer[beginnings]
}

// beginnings are those of one namespace's keys, by lane.
type beginnings struct {
	namespace string
	lanes     []beginning
}

// beginning is all of a key but its name, for each kind, in one lane.
type beginning struct {
	lane                          int
	value, body, lease, tag, mark string
	ledger, earlier               string // the pages, see invalidate.lua
}

// fingerprintKey is where the fingerprint of a namespace is.
func fingerprintKey(namespace string) string { return namespace + ":" + kindFingerprint + ":{0}:" }

func newNames(lanes int) names { return names{lanes, new(atomic.Pointer[beginnings])} }

// in returns how keys begin in a namespace.
func (n names) in(namespace string) *beginnings {
	if b := n.latest.Load(); b != nil && b.namespace == namespace {
		return b
	}
	b := &beginnings{namespace, make([]beginning, n.lanes)}
	for lane := range b.lanes {
		of := func(kind string) string { return namespace + ":" + kind + ":{" + strconv.Itoa(lane) + "}:" }
		b.lanes[lane] = beginning{lane, of(kindValue), of(kindBody), of(kindLease), of(kindTag), of(kindMark), of(kindLedger), of(kindEarlier)}
	}
	n.latest.Store(b)
	return b
}

// The kinds of keys.
const (
	kindValue   = "v"
	kindBody    = "b" // of a large value
	kindLease   = "l"
	kindTag     = "t"
	kindMark    = "w" // one for each lane, see mark.lua
	kindLedger  = "g" // one for each lane
	kindEarlier = "h" // likewise
	// kindFingerprint is one for the namespace. It is in lane 0, which there is whatever the number of lanes.
	kindFingerprint = "f"
)

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

// place is where one key of the Service is. Its methods make the Redis keys.
type place struct {
	begin beginning
	name  string
}

func (n names) of(key string) place {
	namespace, name := split(key)
	return place{n.in(namespace).lanes[n.lane(key)], name}
}

func (p place) value() string  { return p.begin.value + p.name }
func (p place) body() string   { return p.begin.body + p.name }
func (p place) lease() string  { return p.begin.lease + p.name }
func (p place) ledger() string { return p.begin.ledger }

// tags is the beginning of the keys of tags.
func (p place) tags() string { return p.begin.tag }

// noted is what a tag is called in the ledger: 8 bytes, which no other field has. Should two tags share
// them, one refuses the other's fills.
func noted(tag string) string { return string(binary.BigEndian.AppendUint64(nil, hash(tag))) }

// hash is FNV-1a, 64 bits: all processes that share a Redis must agree on it.
func hash(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}
