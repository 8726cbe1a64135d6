package redis

import (
	"context"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// Only this file builds, takes apart and scans Redis keys. A key is
//
//	<namespace>:<kind>:{<lane>}:<name>
//
// For example, the entry "k" of the namespace "shop" is shop:v:{3}:k, if its lane is 3. Everything
// that one operation must see atomically shares a lane. The lane is the hash tag, so a lane lies in
// one slot of a Cluster. The namespace comes first, so that an ACL rule can be limited to it.
//
// The scripts receive keys as KEYS and ARGV, and their heads say which. They build one key
// themselves: that of a nonce, from the prefix in ARGV and the name of a tag in the entry.

// The kinds of keys.
const (
	kindValue   = "v"
	kindBody    = "b" // of a large value
	kindLease   = "l"
	kindNonce   = "t"
	kindMark    = "w" // one for each lane, see mark.lua
	kindLedger  = "g" // one for each lane
	kindEarlier = "h" // likewise
	kindProbe   = "p" // of a feed, for a moment
	// kindFingerprint exists once in a namespace. Its lane is 0, which exists whatever the number
	// of lanes.
	kindFingerprint = "f"
)

// generation is the name of a tag that every entry carries. Its nonce is the generation of a lane,
// and to invalidate it is to clear the lane. Applications cannot use it: a Service refuses a tag
// without a name.
const generation = ""

// keyspace is all keys of one namespace. It never changes once it is made.
type keyspace struct {
	prefix      string // of the Service's keys and tags
	namespace   string // as it stands in Redis keys
	fingerprint string
	lanes       []laneKeys
}

// laneKeys are the keys that exist once in a lane, and the beginnings of all others. They are made
// at Init, because making them for each operation would cost more than everything else in a read.
type laneKeys struct {
	number                    int
	value, body, lease, nonce string // beginnings
	mark, ledger, earlier     string // the last two are the pages, see invalidate.lua
}

// braces escapes what Redis would take for the hash tag. The Service escapes '%' and ':' itself.
var braces = strings.NewReplacer("{", "%7B", "}", "%7D")

// newKeyspace returns the keys for a Service whose keys and tags begin with prefix, "shop:" for
// example.
func newKeyspace(prefix string, lanes int) *keyspace {
	namespace := braces.Replace(strings.TrimSuffix(prefix, ":"))
	k := &keyspace{prefix: prefix, namespace: namespace, lanes: make([]laneKeys, lanes)}
	in := func(lane int, kind string) string {
		return namespace + ":" + kind + ":{" + strconv.Itoa(lane) + "}:"
	}
	k.fingerprint = in(0, kindFingerprint)
	for lane := range k.lanes {
		k.lanes[lane] = laneKeys{
			lane,
			in(lane, kindValue), in(lane, kindBody), in(lane, kindLease), in(lane, kindNonce),
			in(lane, kindMark), in(lane, kindLedger), in(lane, kindEarlier),
		}
	}
	return k
}

// laneOf returns the number of a key's lane.
func (k *keyspace) laneOf(key string) int {
	if len(k.lanes) == 1 {
		return 0
	}
	return int(hash(key) % uint64(len(k.lanes))) //nolint:gosec // below lanes
}

// of returns where a key of the Service is.
func (k *keyspace) of(key string) keyRef {
	return keyRef{&k.lanes[k.laneOf(key)], k.nameOf(key)}
}

// nameOf cuts off the Service's prefix, which every key and tag has.
func (k *keyspace) nameOf(key string) string { return strings.TrimPrefix(key, k.prefix) }

// nonces appends the keys of the nonces of the Service's tags, or of the generation, to dst.
func (k *keyspace) nonces(dst []string, lane *laneKeys, tags []string) []string {
	for _, tag := range tags {
		dst = append(dst, lane.nonceOf(k.nameOf(tag)))
	}
	return dst
}

// keyRef is where one key of the Service is. Its methods return the Redis keys.
type keyRef struct {
	lane *laneKeys
	name string
}

func (r keyRef) value() string { return r.lane.value + r.name }
func (r keyRef) body() string  { return r.lane.body + r.name }
func (r keyRef) lease() string { return r.lane.lease + r.name }

// appendKeys appends the keys of one kind for many refs, with one allocation for all: kind is the
// beginning of such keys in their lane.
func appendKeys(dst []string, kind string, refs []keyRef) []string {
	length := 0
	for i := range refs {
		length += len(kind) + len(refs[i].name)
	}
	var all strings.Builder
	all.Grow(length)
	for i := range refs {
		from := all.Len()
		all.WriteString(kind)
		all.WriteString(refs[i].name)
		dst = append(dst, all.String()[from:])
	}
	return dst
}

// wanted returns the keys that a read of an entry needs: its own, and those of the nonces of tags.
// Before each tag, two bytes say how long it is. If they are wrong, wanted returns nil.
func (r keyRef) wanted(tags []byte) []string {
	length, count := len(r.lane.value)+len(r.name), 1
	for rest := tags; len(rest) > 0; count++ {
		tag, after, ok := cutTag(rest)
		if !ok {
			return nil
		}
		length += len(r.lane.nonce) + len(tag)
		rest = after
	}
	var all strings.Builder // one allocation for all keys
	all.Grow(length)
	keys := make([]string, 0, count)
	all.WriteString(r.lane.value)
	all.WriteString(r.name)
	keys = append(keys, all.String())
	for rest := tags; len(rest) > 0; {
		tag, after, _ := cutTag(rest)
		from := all.Len()
		all.WriteString(r.lane.nonce)
		all.Write(tag)
		keys = append(keys, all.String()[from:])
		rest = after
	}
	return keys
}

// cutTag cuts the first tag off.
func cutTag(tags []byte) (tag, rest []byte, ok bool) {
	if len(tags) < 2 {
		return nil, nil, false
	}
	end := 2 + int(binary.BigEndian.Uint16(tags))
	if len(tags) < end {
		return nil, nil, false
	}
	return tags[2:end], tags[end:], true
}

// nonceOf is the key of a tag's nonce. An entry holds the same name of the tag.
func (l *laneKeys) nonceOf(name string) string { return l.nonce + name }

// isNonceOf reports whether nonceOf(name) is key, which is that of a nonce in this lane.
func (l *laneKeys) isNonceOf(key string, name []byte) bool { return key[len(l.nonce):] == string(name) }

// ledgerField is what a tag is called in the ledger: 8 bytes, which no other field has. If two tags
// share them, invalidating one also refuses fills that carry the other.
func ledgerField(tag string) string {
	return string(binary.BigEndian.AppendUint64(nil, hash(tag)))
}

// hash is FNV-1a with 64 bits. All processes that share a Redis must agree on it.
func hash(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}

// globs escapes what SCAN would take for a pattern.
var globs = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`)

// values is the pattern of entries and bodies.
func (k *keyspace) values() string {
	return globs.Replace(k.namespace) + ":[" + kindValue + kindBody + "]:*"
}

// everything is the pattern of all keys in whatever lane, except for the fingerprint.
func (k *keyspace) everything() string {
	return globs.Replace(k.namespace) + ":[^" + kindFingerprint + "]:{*"
}

// keysOf returns the Service's keys that the scanned Redis keys belong to. The lane may be one of
// another number of lanes.
func (k *keyspace) keysOf(scanned []string) []string {
	keys := make([]string, 0, len(scanned))
	for _, key := range scanned {
		if _, name, ok := strings.Cut(key[len(k.namespace):], "}:"); ok {
			keys = append(keys, k.prefix+name)
		}
	}
	return keys
}

// probe is a key that only one feed knows.
func (l *laneKeys) probeOf(id FeedID) string {
	return strings.TrimSuffix(l.value, kindValue+":{"+strconv.Itoa(l.number)+"}:") +
		kindProbe + ":{" + strconv.Itoa(l.number) + "}:" + strconv.FormatUint(uint64(id), 16)
}

// told takes a key apart that Redis tells of. kind is empty if it is not one of ours. For the key
// of a value, name is the Service's key.
func (k *keyspace) told(key string) (kind, name string) {
	rest, ours := strings.CutPrefix(key, k.namespace)
	if !ours || len(rest) < len(":v:{") || rest[0] != ':' {
		return "", ""
	}
	_, name, ours = strings.Cut(rest, "}:")
	if kind = rest[1:2]; !ours || rest[2:4] != ":{" {
		return "", ""
	}
	if kind == kindValue {
		name = k.prefix + name
	}
	return kind, name
}

// scanned is how many keys SCAN looks at in one step.
const scanned = 1000

// scan walks over the keys of one node that match pattern, for as long as more returns true, and
// passes each page to found. It runs each SCAN through step, which supplies the deadline.
func scan(node rueidis.Client, pattern string, step func(run func(context.Context) error) error, more func() bool, found func(keys []string) error) error {
	for cursor := uint64(0); more(); {
		var page rueidis.ScanEntry
		err := step(func(ctx context.Context) (err error) {
			page, err = node.Do(ctx, node.B().Scan().Cursor(cursor).Match(pattern).Count(scanned).Build()).AsScanEntry()
			return err
		})
		if err == nil {
			err = found(page.Elements)
		}
		if cursor = page.Cursor; err != nil || cursor == 0 {
			return err
		}
	}
	return nil
}
