package sessioncache

import (
	"encoding"
	"fmt"
	"time"
	"unsafe"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// record holds a CachedSession and everything it points to in one block of memory. A hit on a
// typical session then costs one allocation. There is room for the texts of one channel token and
// three permissions. An anonymous session wastes that room, so there is no more. The sizes add up
// to 352 bytes, which is a size class of Go's allocator.
type record struct {
	CachedSession
	user     User
	token    hiddenText
	channels [1]ChannelPermissions
	texts    [4]hiddenText
	ttl      time.Duration // for Default, which stores the session; not encoded
}

// hiddenText has the layout of a string, but fmt prints it as an address and a length. fmt calls no
// methods on the unexported fields of a struct, and for a verb that does not fit it even follows
// pointers. A token in a string would therefore be printed along with a struct that holds the
// record.
type hiddenText struct {
	data   *byte
	length int
}

func (h *hiddenText) text() *string {
	return (*string)(unsafe.Pointer(h)) //nolint:gosec // the two have one layout; a test reads through it
}

var (
	_ encoding.BinaryAppender    = (*record)(nil)
	_ encoding.BinaryUnmarshaler = (*record)(nil)
	_ cache.OwnedUnmarshaler     = (*record)(nil)
)

func newRecord() *record { return new(record) }

// decode returns the session in data. Its strings point into data, which must never change again.
func decode(data []byte) (*CachedSession, error) {
	decoded := newRecord()
	if err := decoded.UnmarshalOwned(data); err != nil {
		return nil, err
	}
	return &decoded.CachedSession, nil
}

// setToken gives the session its token, which is not part of the encoding.
func (r *record) setToken(token string) {
	r.token = hiddenText{unsafe.StringData(token), len(token)} //nolint:gosec // the pointer and length of one string
	r.Token = driver.SecretAt(r.token.text())
}

// AppendBinary implements encoding.BinaryAppender. Only the session is stored.
func (r *record) AppendBinary(dst []byte) ([]byte, error) {
	return appendSession(dst, &r.CachedSession)
}

// UnmarshalOwned implements cache.OwnedUnmarshaler. It replaces everything except the Token. After
// an error r is empty. A session that was decoded into r before must no longer be in use.
func (r *record) UnmarshalOwned(data []byte) error { return r.decode(textOf(data)) }

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (r *record) UnmarshalBinary(data []byte) error { return r.decode(string(data)) }

func (r *record) decode(in string) error {
	if len(in) < 2 {
		*r = record{}
		return fmt.Errorf("%w: %d bytes", ErrCorrupt, len(in))
	}
	if in[0] != codecVersion {
		*r = record{}
		return fmt.Errorf("%w: %d", ErrVersion, in[0])
	}
	flags := in[1]
	d := decoder{in: in, at: 2}
	if flags&^knownFlags != 0 || flags&(flagUser|flagVerified) == flagVerified {
		d.fail("bad flags")
	}

	r.Expires = d.time()
	r.CacheExpiry = d.time()
	r.ID = ID(d.text())
	r.ActiveOrderID = ID(d.text())
	r.ActiveChannelID = ID(d.text())
	r.AuthenticationStrategy = d.text()
	r.capped = flags&flagCapped != 0
	r.User = nil
	if flags&flagUser != 0 {
		r.user.Verified = flags&flagVerified != 0
		r.decodeUser(&d)
		r.User = &r.user
	}
	r.CustomFields = nil
	if flags&flagFields != 0 {
		r.CustomFields = d.fields(1)
	}

	if d.at < len(in) {
		d.fail("bytes after the end")
	}
	if d.err != nil {
		*r = record{}
	}
	return d.err
}

// decodeUser reads a user into r. One list of texts holds the tokens and permissions of all
// channels. The Permissions of each channel are a part of that list whose capacity ends before the
// next channel.
func (r *record) decodeUser(d *decoder) {
	r.user.ID = ID(d.text())
	r.user.Identifier = d.text()
	r.user.ChannelPermissions = nil
	channelCount := d.count(minChannelBytes)
	textCount := channelCount + d.count(minTextBytes)
	if channelCount == 0 {
		if textCount != 0 {
			d.fail("permissions without a channel")
		}
		return
	}

	channels := r.channels[:]
	if channelCount > len(channels) {
		channels = make([]ChannelPermissions, channelCount)
	}
	texts := unsafe.Slice(r.texts[0].text(), len(r.texts)) //nolint:gosec // the whole of one array
	if textCount > len(texts) {
		texts = make([]string, textCount)
	}
	texts = texts[:textCount]
	for i := range channels {
		channel := &channels[i]
		channel.ID = ID(d.text())
		channel.Token = cache.Secret{}
		if token := d.text(); token != "" {
			texts[0] = token
			channel.Token = driver.SecretAt(&texts[0])
		}
		channel.Code = d.text()
		count := d.uvarint()
		if count > uint64(len(texts)-(channelCount-i)) { // this channel and each one after it need a text for the token
			d.fail("more permissions than announced")
			return
		}
		channel.Permissions = nil
		if count > 0 {
			permissions := texts[1 : 1+count : 1+count]
			d.texts(permissions)
			channel.Permissions = permissions
		}
		texts = texts[1+count:]
	}
	if len(texts) > 0 {
		d.fail("fewer permissions than announced")
		return
	}
	r.user.ChannelPermissions = channels
}
