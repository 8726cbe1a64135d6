package redis

import (
	"encoding/binary"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// An entry, as store.lua writes it; its form is explained in good.lua.
const (
	entryFormat = 0x01
	largeFormat = 0x02 // the payload is the name of a body, and how long the value is
	nameBytes   = nonceBytes + 8
	fixedBytes  = 1 + 8 + 2
	nonceBytes  = 16
)

// appendFixed appends what the client knows of an entry: all up to the number of tags.
func appendFixed(dst []byte, format byte, expiry int64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, format), uint64(expiry)) //nolint:gosec // read back as int64
}

// named is the payload of an entry whose value is in a body.
func named(body string, size int) []byte {
	return binary.BigEndian.AppendUint64([]byte(body), uint64(size)) //nolint:gosec // no value has a negative length
}

// entry is a stored entry. Its methods take it apart in place.
type entry []byte

// expiry is when the entry ends, in Unix milliseconds. ok is false for what store.lua did not write.
func (e entry) expiry() (ms int64, ok bool) {
	if len(e) < fixedBytes || e[0] != entryFormat && e[0] != largeFormat {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(e[1:])), true //nolint:gosec // written from int64
}

// tags calls each for each tag with its nonce, until it returns false, and returns the payload after
// the last.
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

// body returns the name of the body of a payload, and how long the value in it is, where the entry has one.
func (e entry) body(payload []byte) (name string, size int64, apart bool) {
	if e[0] != largeFormat || len(payload) != nameBytes {
		return "", 0, false
	}
	return string(payload[:nonceBytes]), int64(binary.BigEndian.Uint64(payload[nonceBytes:])), true //nolint:gosec // written from an int
}

// judge returns the payload if each tag has the nonce that the entry was stored with, by what now finds for
// a tag. Where it does not know a tag, the entry is a stranger.
func (e entry) judge(now func(name []byte) (nonce rueidis.RedisMessage, known bool)) (payload []byte, ok, stranger bool) {
	payload, ok = e.tags(func(name, nonce []byte) bool {
		reply, known := now(name)
		if stranger = !known; stranger {
			return false
		}
		current, err := reply.ToString()
		return err == nil && current == string(nonce)
	})
	return payload, ok, stranger
}

// milliseconds is a TTL rounded up to what Redis knows.
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
