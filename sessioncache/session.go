package sessioncache

import (
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// ID identifies a row in the application's database, as text. The empty ID means "none". It is a
// type of its own so that a session token cannot be passed where an ID is expected, or a channel's
// ID where a permission is expected.
type ID string

// Scan implements sql.Scanner, for keys that the database stores as text or as integers.
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

// CachedSession is what a request needs to know about its session without reading the database.
//
// A session prints only IDs and counts: with every verb of fmt, in log/slog, in JSON and as text.
// It can therefore not be stored as JSON. It encodes itself with AppendBinary, which leaves the
// token out.
//
// A session that came from the cache belongs to the caller. It is not safe for concurrent writes.
type CachedSession struct {
	// ID is the session's ID in the database.
	ID ID
	// Token is the secret that the client sends to prove that the session belongs to it. It is
	// never encoded and never printed.
	Token cache.Secret
	// Expires is when the session itself ends, as stored in the database. It has millisecond
	// precision.
	Expires time.Time
	// CacheExpiry is the soft expiry. From this time on, the session is read from the database
	// again. It has millisecond precision.
	CacheExpiry time.Time
	// ActiveOrderID is the order (the cart) that the session works on, or empty.
	ActiveOrderID ID
	// ActiveChannelID is the channel that the session works in, or empty.
	ActiveChannelID ID
	// AuthenticationStrategy names the method the user logged in with. It is empty if no user is
	// logged in.
	AuthenticationStrategy string
	// User is the user who is logged in, or nil for an anonymous session.
	User *User
	// CustomFields are the application's own. Values are nil, booleans, integers, floats, strings,
	// time.Time, time.Duration, arrays of 1 to 64 bytes (such as UUIDs), and slices and maps of
	// these or of any, nested at most 16 levels deep. A key of a map is a string, an integer or an
	// array of bytes. Any other value, such as a struct or a pointer, is a *FieldError when the
	// session is encoded, and the session is not cached.
	//
	// A value comes back as the type that it had, with two exceptions. A type of the application
	// comes back as its underlying type: a `type Role string` as a string, and a []Role as a
	// []string. A time comes back to the nanosecond and in UTC. GetOrLoad and Update return fields
	// as they come back, even when the session did not come from the cache.
	//
	// An empty map of CustomFields comes back as nil.
	CustomFields map[string]any

	// capped: Options.Renew could not prolong the session. It is not called again before the
	// session is read from the database again.
	capped bool
}

// User is the user of a session, with their permissions.
type User struct {
	// ID is the user's ID in the database.
	ID ID
	// Identifier is what the user logs in with, such as an e-mail address. It is personal data and
	// is never printed.
	Identifier string
	// Verified reports whether the user has confirmed the Identifier.
	Verified bool
	// ChannelPermissions are the user's permissions, channel by channel.
	ChannelPermissions []ChannelPermissions
}

// ChannelPermissions is what a user may do in one channel.
type ChannelPermissions struct {
	// ID is the channel's ID in the database.
	ID ID
	// Token is what a client sends to choose the channel. It is encoded but never printed.
	Token cache.Secret
	// Code is the channel's name for people.
	Code string
	// Permissions are the names of the actions that the user may perform in the channel.
	Permissions []string
}

// Expired reports whether the session has ended at now. A session without Expires has ended: an
// application that forgets to set it must not keep its users logged in for ever.
func (s *CachedSession) Expired(now time.Time) bool { return !now.Before(s.Expires) }

// Stale reports whether the session must be read from the database again at now. A session without
// CacheExpiry is always stale.
func (s *CachedSession) Stale(now time.Time) bool { return !now.Before(s.CacheExpiry) }

// Clone returns a deep copy, or nil for nil. Custom fields of a type that cannot be encoded are
// shared.
func (s *CachedSession) Clone() *CachedSession {
	if s == nil {
		return nil
	}
	clone := *s
	clone.User = s.User.Clone()
	clone.CustomFields = cloneFields(s.CustomFields, 1)
	return &clone
}

// Clone returns a deep copy, or nil for nil.
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

// cloneFields copies fields, which are at the given level of nesting. Values nested more deeply
// than can be encoded are shared, so that a map that contains itself is not copied for ever.
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

// restored returns fields as they come back from the cache. If they cannot be encoded, it returns a
// copy.
func restored(fields map[string]any) map[string]any {
	if len(fields) == 0 {
		return nil
	}
	encoded, failure := appendFields(nil, fields, 1)
	if failure != nil {
		return cloneFields(fields, 1)
	}
	d := decoder{in: textOf(encoded)}
	return d.fields(1)
}

func cloneField(value any, level int) any {
	switch value := value.(type) {
	case nil, bool, int, int64, uint64, float64, string, time.Time:
		return value
	case map[string]any:
		return cloneFields(value, level+1)
	default:
		return cloneValue(reflect.ValueOf(value), level).Interface()
	}
}

// cloneValue is cloneField for slices and maps of every type.
func cloneValue(value reflect.Value, level int) reflect.Value {
	kind := value.Kind()
	if kind == reflect.Interface && !value.IsNil() {
		return cloneValue(value.Elem(), level)
	}
	if kind != reflect.Slice && kind != reflect.Map || value.IsNil() {
		return value
	}
	flat := basics[value.Type().Elem().Kind()] != fieldNil && value.Type().Elem().Kind() < reflect.Array
	if level >= maxFieldLevels && !flat {
		return value
	}
	if kind == reflect.Map {
		clone := reflect.MakeMapWithSize(value.Type(), value.Len())
		for each := value.MapRange(); each.Next(); {
			clone.SetMapIndex(each.Key(), cloneValue(each.Value(), level+1))
		}
		return clone
	}
	clone := reflect.MakeSlice(value.Type(), value.Len(), value.Len())
	reflect.Copy(clone, value)
	for i := 0; i < value.Len() && !flat; i++ {
		clone.Index(i).Set(cloneValue(value.Index(i), level+1))
	}
	return clone
}

// Format implements fmt.Formatter for all verbs and flags. It prints no custom fields, because they
// may hold secrets.
func (s CachedSession) Format(f fmt.State, _ rune) { _, _ = f.Write(s.summary()) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too. It returns the same
// summary as Format. There is no UnmarshalText: code that stores sessions as JSON must get an
// error, not an incomplete session.
func (s CachedSession) MarshalText() ([]byte, error) { return s.summary(), nil }

// LogValue implements slog.LogValuer. It has a pointer receiver because a nil session is common
// here. slog logs a session that is not a pointer with its MarshalText or Format.
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

// Format implements fmt.Formatter for all verbs and flags. It does not print the Identifier.
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

// MarshalText implements encoding.TextMarshaler with the same summary as Format. JSON of the fields
// would hold "[redacted]" as the token, which a reader could mistake for a token.
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
