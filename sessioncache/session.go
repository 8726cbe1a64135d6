package sessioncache

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// ID is the ID of the seed: the identifier of a row in the application's database, as text. The
// empty ID means "none". It is a type of its own so that a session token cannot be passed where an
// id is meant, nor a channel id where a permission is.
type ID string

// Scan implements sql.Scanner, for keys that the database has as text or as integers.
func (id *ID) Scan(value any) error {
	switch value := value.(type) {
	case string:
		*id = ID(value)
	case []byte:
		*id = ID(value)
	case int64:
		*id = ID(strconv.FormatInt(value, 10))
	case nil:
		*id = ""
	default:
		return fmt.Errorf("sessioncache: an ID is text or an integer, not a %T", value)
	}
	return nil
}

// CachedSession is the CachedSession of the seed: what a request needs to know about the session it
// belongs to, without reading the database.
//
// A session prints only ids and counts, in every verb of fmt, in log/slog, in JSON and as text. It is
// therefore not to be stored as JSON: it encodes itself with AppendBinary, which leaves the token out.
//
// A session that came from the cache belongs to the caller. It is not safe for concurrent writes.
type CachedSession struct {
	// ID is the session's id in the database.
	ID ID
	// Token is what the client sends to prove that the session is its own. It is never encoded and
	// never printed.
	Token cache.Secret
	// Expires is when the session itself ends, as the database has it. It is kept to the millisecond.
	Expires time.Time
	// CacheExpiry is the soft expiry: from then on the database is read again. It is kept to the
	// millisecond.
	CacheExpiry time.Time
	// ActiveOrderID is the order (the cart) that the session works on; empty: none.
	ActiveOrderID ID
	// ActiveChannelID is the channel that the session works in; empty: none.
	ActiveChannelID ID
	// AuthenticationStrategy is the name of the way the user logged in; empty: not logged in.
	AuthenticationStrategy string
	// User is who is logged in; nil: an anonymous session.
	User *User
	// CustomFields are the application's own. Values are nil, bool, int, int64, uint64, float64,
	// string, []byte, time.Time, []any, []string and map[string]any, nested at most 16 levels deep;
	// anything else is a *FieldError when the session is encoded. Each value comes back with the type
	// it had, an empty slice or map as nil, a time to the nanosecond and in UTC.
	CustomFields map[string]any

	// capped: Options.Renew could not prolong the session, so asking again is in vain until it is read
	// from the database again.
	capped bool
}

// User is the CachedSessionUser of the seed: the user of a session and what they may do.
type User struct {
	// ID is the user's id in the database.
	ID ID
	// Identifier is what the user logs in with, such as an e-mail address. It is personal data, so
	// it is never printed.
	Identifier string
	// Verified reports whether the user has confirmed the Identifier.
	Verified bool
	// ChannelPermissions are the user's permissions, channel by channel.
	ChannelPermissions []ChannelPermissions
}

// ChannelPermissions is the UserChannelPermissions of the seed: what a user may do in one channel.
type ChannelPermissions struct {
	// ID is the channel's id in the database.
	ID ID
	// Token is what a client sends to choose the channel. It is encoded, but never printed.
	Token cache.Secret
	// Code is the channel's name for people.
	Code string
	// Permissions are the names of what the user may do in the channel.
	Permissions []string
}

// Expired reports whether the session has ended at now. A session without Expires has: an
// application that forgot to set it must not log its users in for ever.
func (s *CachedSession) Expired(now time.Time) bool { return !now.Before(s.Expires) }

// Stale reports whether the session has to be read from the database again at now. A session without
// CacheExpiry always has.
func (s *CachedSession) Stale(now time.Time) bool { return !now.Before(s.CacheExpiry) }

// Clone returns a copy that shares nothing that can be changed with s; nil for nil. Custom fields of
// a kind that cannot be encoded are shared.
func (s *CachedSession) Clone() *CachedSession {
	if s == nil {
		return nil
	}
	clone := *s
	clone.User = s.User.Clone()
	clone.CustomFields = cloneFields(s.CustomFields, 1)
	return &clone
}

// Clone returns a copy that shares nothing that can be changed with u; nil for nil.
func (u *User) Clone() *User {
	if u == nil {
		return nil
	}
	clone := *u
	clone.ChannelPermissions = slices.Clone(u.ChannelPermissions)
	for i := range clone.ChannelPermissions {
		channel := &clone.ChannelPermissions[i]
		channel.Permissions = slices.Clone(channel.Permissions)
	}
	return &clone
}

// HasPermission reports whether the user has permission in the channel. A nil User has none.
func (u *User) HasPermission(channel ID, permission string) bool {
	if u == nil {
		return false
	}
	return slices.ContainsFunc(u.ChannelPermissions, func(c ChannelPermissions) bool {
		return c.ID == channel && slices.Contains(c.Permissions, permission)
	})
}

// cloneFields copies fields, which are at the given level of nesting. What is nested deeper than can
// be encoded is shared, so that a map that contains itself does not copy for ever.
func cloneFields(fields map[string]any, level int) map[string]any {
	if level > maxFieldLevels {
		return fields
	}
	clone := maps.Clone(fields)
	for name, value := range clone {
		clone[name] = cloneField(value, level)
	}
	return clone
}

func cloneField(value any, level int) any {
	switch value := value.(type) {
	case []byte:
		return slices.Clone(value)
	case []string:
		return slices.Clone(value)
	case []any:
		if level >= maxFieldLevels {
			return value
		}
		clone := slices.Clone(value)
		for i, element := range clone {
			clone[i] = cloneField(element, level+1)
		}
		return clone
	case map[string]any:
		return cloneFields(value, level+1)
	default:
		return value
	}
}

// Format implements fmt.Formatter for all verbs and flags: custom fields may hold anything.
func (s CachedSession) Format(f fmt.State, _ rune) { _, _ = f.Write(s.summary()) }

// MarshalText implements encoding.TextMarshaler, and so JSON's, with the same summary as Format. There is
// no UnmarshalText: who tries to store sessions as JSON shall get an error, not half a session.
func (s CachedSession) MarshalText() ([]byte, error) { return s.summary(), nil }

// LogValue implements slog.LogValuer. It has a pointer receiver because nil is common here, and a
// value is logged by its MarshalText or Format.
func (s *CachedSession) LogValue() slog.Value {
	if s == nil {
		return slog.AnyValue(nil)
	}
	attrs := []slog.Attr{slog.String("id", string(s.ID)), slog.Time("expires", s.Expires), slog.Int("custom", len(s.CustomFields))}
	if s.User != nil {
		attrs = append(attrs, slog.String("user", string(s.User.ID)))
	}
	return slog.GroupValue(attrs...)
}

func (s *CachedSession) summary() []byte {
	text := fmt.Appendf(nil, "session{id:%q", string(s.ID))
	if s.User != nil {
		text = fmt.Appendf(text, " user:%q", string(s.User.ID))
	}
	return fmt.Appendf(text, " expires:%s custom:%d}", s.Expires.UTC().Format(time.RFC3339), len(s.CustomFields))
}

// Format implements fmt.Formatter for all verbs and flags; it shows no Identifier.
func (u User) Format(f fmt.State, _ rune) { _, _ = f.Write(u.summary()) }

// MarshalText implements encoding.TextMarshaler with the same summary as Format.
func (u User) MarshalText() ([]byte, error) { return u.summary(), nil }

// LogValue implements slog.LogValuer.
func (u *User) LogValue() slog.Value {
	if u == nil {
		return slog.AnyValue(nil)
	}
	return slog.GroupValue(slog.String("id", string(u.ID)), slog.Bool("verified", u.Verified),
		slog.Int("channels", len(u.ChannelPermissions)))
}

func (u *User) summary() []byte {
	return fmt.Appendf(nil, "user{id:%q verified:%t channels:%d}", string(u.ID), u.Verified, len(u.ChannelPermissions))
}

// Format implements fmt.Formatter for all verbs and flags.
func (c ChannelPermissions) Format(f fmt.State, _ rune) { _, _ = f.Write(c.summary()) }

// MarshalText implements encoding.TextMarshaler with the same summary as Format. A JSON of the fields
// would hold "[redacted]" for the token, and whoever read it back would not notice.
func (c ChannelPermissions) MarshalText() ([]byte, error) { return c.summary(), nil }

// LogValue implements slog.LogValuer.
func (c *ChannelPermissions) LogValue() slog.Value {
	if c == nil {
		return slog.AnyValue(nil)
	}
	return slog.GroupValue(slog.String("id", string(c.ID)), slog.String("code", c.Code),
		slog.Int("permissions", len(c.Permissions)))
}

func (c *ChannelPermissions) summary() []byte {
	return fmt.Appendf(nil, "channel{id:%q code:%q permissions:%d}", string(c.ID), c.Code, len(c.Permissions))
}
