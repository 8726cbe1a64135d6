package redis

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// An entry, as store.lua writes it. good.lua explains its form. Formats 1 and 2 had no generation.
const (
	entryFormat = 0x03
	largeFormat = 0x04 // the payload is the name of a body, and the length of the value
	nameBytes   = nonceBytes + 8
	fixedBytes  = 1 + 8 + 2
	nonceBytes  = 16
)

// appendFixed appends what the client knows of an entry: everything up to the number of tags.
func appendFixed(dst []byte, format byte, expiry int64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, format), uint64(expiry)) //nolint:gosec // read back as int64
}

// named is the payload of an entry whose value is in a body.
func named(body string, size int) []byte {
	return binary.BigEndian.AppendUint64([]byte(body), uint64(size)) //nolint:gosec // no value has a negative length
}

// entry is a stored entry. Its methods take it apart in place.
type entry []byte

// expiry is when the entry expires, in Unix milliseconds. ok is false for what store.lua did not
// write.
func (e entry) expiry() (ms int64, ok bool) {
	if len(e) < fixedBytes || e[0] != entryFormat && e[0] != largeFormat {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(e[1:])), true //nolint:gosec // written from int64
}

// tags calls each for each tag with its nonce, until it returns false. It returns the payload,
// which follows the last tag.
func (e entry) tags(each func(name, nonce []byte) bool) (payload []byte, ok bool) {
	rest := e[fixedBytes:]
	for range binary.BigEndian.Uint16(e[9:]) {
		if len(rest) < 2 {
			return nil, false
		}
		length := int(binary.BigEndian.Uint16(rest))
		if rest = rest[2:]; len(rest) < length+nonceBytes || !each(rest[:length], rest[length:length+nonceBytes]) {
			return nil, false
		}
		rest = rest[length+nonceBytes:]
	}
	return rest, true
}

// payload returns the payload, whatever the tags.
func (e entry) payload() (payload []byte, ok bool) {
	return e.tags(func(_, _ []byte) bool { return true })
}

// body returns the name of the body that has the value, and the length of the value. apart is false
// if the entry has no body.
func (e entry) body(payload []byte) (name string, size int64, apart bool) {
	if e[0] != largeFormat || len(payload) != nameBytes {
		return "", 0, false
	}
	return string(payload[:nonceBytes]), int64(binary.BigEndian.Uint64(payload[nonceBytes:])), true //nolint:gosec // written from an int
}

// judge decides whether the entry is valid: each tag must still have the nonce that the entry was
// stored with. now returns the current nonce of a tag. If it does not know a tag, judge cannot
// decide, and unknownTag is true.
func (e entry) judge(now func(name []byte) (nonce rueidis.RedisMessage, known bool)) (payload []byte, ok, unknownTag bool) {
	payload, ok = e.tags(func(name, nonce []byte) bool {
		reply, known := now(name)
		if unknownTag = !known; unknownTag {
			return false
		}
		current, err := reply.ToString()
		return err == nil && current == string(nonce)
	})
	return payload, ok, unknownTag
}

// milliseconds is a TTL, rounded up to the precision of Redis.
func milliseconds(ttl time.Duration) (int64, error) {
	if ttl <= 0 {
		return 0, driver.ErrInvalidTTL
	}
	ms := ttl.Milliseconds()
	if ttl%time.Millisecond != 0 {
		ms++
	}
	return ms, nil
}

// nonces returns n random nonces, one after the other.
func nonces(n int) string {
	random := make([]byte, n*nonceBytes)
	_, _ = rand.Read(random) // never fails: it ends the program instead
	return string(random)
}
