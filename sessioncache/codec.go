package sessioncache

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/fxcache/fxcache/cache"
)

// The encoding of a session, version 2. A text is its length followed by its bytes. Lengths and
// counts are unsigned varints. Times are Unix milliseconds in 8 bytes, little-endian. As varints
// they would save 2 bytes each, but decoding would take a tenth longer.
//
//	version, flags: a byte each
//	expires, cacheExpiry: times
//	id, activeOrderID, activeChannelID, authenticationStrategy: texts
//	with flagUser:
//	  id, identifier: texts
//	  number of channels, number of the permissions of all channels
//	  for each channel:
//	    id, token, code: texts
//	    number of permissions, and each as a text
//	with flagFields: the custom fields, see fields.go
//
// The number of all permissions comes first, so that one allocation holds them all. The session
// token is not encoded: otherwise everyone who can read the cache could use every session.
//
// Any change of this format needs a new version. During a deployment, processes of both versions
// may share a cache. Each of them then reads the other's sessions as misses.
const codecVersion = 2

const (
	flagUser = 1 << iota
	flagVerified
	flagFields
	flagCapped
	knownFlags = flagUser | flagVerified | flagFields | flagCapped
)

var (
	// ErrCorrupt is wrapped by the error for data that AppendBinary did not write.
	ErrCorrupt = errors.New("sessioncache: corrupt session")
	// ErrVersion is wrapped by the error for a session that another version of this package wrote.
	// It wraps cache.ErrForeign: the cache treats such a session as a miss and does not delete it.
	ErrVersion = fmt.Errorf("sessioncache: unknown version of the session encoding: %w", cache.ErrForeign)
)

var (
	_ encoding.BinaryAppender    = CachedSession{}
	_ encoding.BinaryMarshaler   = CachedSession{}
	_ encoding.BinaryUnmarshaler = (*CachedSession)(nil)
	_ cache.OwnedUnmarshaler     = (*CachedSession)(nil)
)

// AppendBinary implements encoding.BinaryAppender. Equal sessions have equal encodings. The Token
// is left out. The only error is a *FieldError, for custom fields that cannot be encoded.
func (s CachedSession) AppendBinary(dst []byte) ([]byte, error) { return appendSession(dst, &s) }

// MarshalBinary implements encoding.BinaryMarshaler; it is AppendBinary(nil).
func (s CachedSession) MarshalBinary() ([]byte, error) { return appendSession(nil, &s) }

// UnmarshalBinary implements encoding.BinaryUnmarshaler. It replaces all of s except the Token,
// which is not in data. On an error, which wraps ErrCorrupt or ErrVersion, s is unchanged.
func (s *CachedSession) UnmarshalBinary(data []byte) error { return s.decode(string(data)) }

// UnmarshalOwned implements cache.OwnedUnmarshaler. It is UnmarshalBinary, but the strings of s
// point into data, which must never change again.
func (s *CachedSession) UnmarshalOwned(data []byte) error { return s.decode(textOf(data)) }

func (s *CachedSession) decode(in string) error {
	decoded := newRecord()
	if err := decoded.decode(in); err != nil {
		return err
	}
	decoded.Token = s.Token
	*s = decoded.CachedSession
	return nil
}

// textOf returns data as a string without copying it. data must never change again.
func textOf(data []byte) string {
	return unsafe.String(unsafe.SliceData(data), len(data)) //nolint:gosec // the pointer and length of one slice
}

func appendSession(dst []byte, s *CachedSession) ([]byte, error) {
	var flags byte
	permissions := 0
	size := 64 + len(s.ID) + len(s.ActiveOrderID) + len(s.ActiveChannelID) + len(s.AuthenticationStrategy)
	if user := s.User; user != nil {
		flags |= flagUser
		if user.Verified {
			flags |= flagVerified
		}
		size += len(user.ID) + len(user.Identifier)
		for i := range user.ChannelPermissions {
			channel := &user.ChannelPermissions[i]
			permissions += len(channel.Permissions)
			size += 8 + len(channel.ID) + len(channel.Code) + len(channel.Token.Reveal()) // to size the buffer
			for _, permission := range channel.Permissions {
				size += 1 + len(permission)
			}
		}
	}
	if len(s.CustomFields) > 0 {
		flags |= flagFields
	}
	if s.capped {
		flags |= flagCapped
	}

	out := slices.Grow(dst, size)
	out = append(out, codecVersion, flags)
	out = binary.LittleEndian.AppendUint64(out, uint64(s.Expires.UnixMilli()))
	out = binary.LittleEndian.AppendUint64(out, uint64(s.CacheExpiry.UnixMilli()))
	out = appendText(out, string(s.ID))
	out = appendText(out, string(s.ActiveOrderID))
	out = appendText(out, string(s.ActiveChannelID))
	out = appendText(out, s.AuthenticationStrategy)
	if user := s.User; user != nil {
		out = appendText(out, string(user.ID))
		out = appendText(out, user.Identifier)
		out = binary.AppendUvarint(out, uint64(len(user.ChannelPermissions)))
		out = binary.AppendUvarint(out, uint64(permissions))
		for i := range user.ChannelPermissions {
			channel := &user.ChannelPermissions[i]
			out = appendText(out, string(channel.ID))
			out = appendText(out, channel.Token.Reveal()) // to store it
			out = appendText(out, channel.Code)
			out = binary.AppendUvarint(out, uint64(len(channel.Permissions)))
			for _, permission := range channel.Permissions {
				out = appendText(out, permission)
			}
		}
	}
	if len(s.CustomFields) == 0 {
		return out, nil
	}
	out, err := appendFields(out, s.CustomFields, 1)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func appendText(dst []byte, text string) []byte {
	if len(text) < 0x80 { // AppendUvarint is a call, and nearly all texts are short
		dst = append(dst, byte(len(text)))
	} else {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
	}
	return append(dst, text...)
}
