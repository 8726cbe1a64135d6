package sessioncache_test

import (
	"fmt"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

func ExampleCachedSession() {
	session := &sessioncache.CachedSession{
		ID:      "7",
		Token:   cache.NewSecret("5a1e8c0d9f3b7264"),
		Expires: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		User: &sessioncache.User{
			ID:         "42",
			Identifier: "ann@example.org",
			ChannelPermissions: []sessioncache.ChannelPermissions{
				{ID: "1", Code: "default", Permissions: []string{"Authenticated", "ReadOrder"}},
			},
		},
		CustomFields: map[string]any{"theme": "dark"},
	}
	fmt.Printf("%+v\n", session)
	fmt.Println(session.User.HasPermission("1", "ReadOrder"), session.User.HasPermission("1", "DeleteOrder"))
	fmt.Println(session.Expired(time.Date(2029, 12, 31, 0, 0, 0, 0, time.UTC)))
	// Output:
	// session{id:"7" user:"42" expires:2030-01-01T00:00:00Z custom:1}
	// true false
	// false
}

// A custom session strategy stores the result of AppendBinary, and sets the token again itself.
func ExampleCachedSession_AppendBinary() {
	session := sessioncache.CachedSession{ID: "7", Token: cache.NewSecret("5a1e8c0d9f3b7264"), CustomFields: map[string]any{"visits": 3}}
	stored, err := session.AppendBinary(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var read sessioncache.CachedSession
	if err := read.UnmarshalBinary(stored); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %T %t\n", read.ID, read.CustomFields["visits"], read.Token.IsZero())
	// Output: 7 int true
}

func ExampleFieldError() {
	session := sessioncache.CachedSession{CustomFields: map[string]any{
		"cart": map[string]any{"lines": []any{map[string]any{"price": struct{ cents int }{2}}}},
	}}
	_, err := session.AppendBinary(nil)
	fmt.Println(err)
	// Output: sessioncache: custom field cannot be encoded: cart.lines[0].price of type struct { cents int }: only nil, booleans, integers, floats, strings, time.Time, time.Duration, arrays of 1 to 64 bytes, and slices and maps of these can be; a key must be a string, an integer or an array of bytes
}

func ExampleCachedSession_Clone() {
	session := &sessioncache.CachedSession{CustomFields: map[string]any{"tags": []string{"a"}}}
	clone := session.Clone()
	clone.CustomFields["tags"].([]string)[0] = "b"
	fmt.Println(session.CustomFields["tags"])
	// Output: [a]
}
