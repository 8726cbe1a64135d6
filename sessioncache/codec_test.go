package sessioncache_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// goldenSession is the session in testdata/session_v2.hex. It sets every field and every kind of
// custom field.
func goldenSession() *sessioncache.CachedSession {
	return &sessioncache.CachedSession{
		ID:                     "7",
		Expires:                time.UnixMilli(1_798_761_600_123).UTC(),
		CacheExpiry:            time.UnixMilli(1_767_225_600_456).UTC(),
		ActiveOrderID:          "774411",
		ActiveChannelID:        "2",
		AuthenticationStrategy: "native",
		User: &sessioncache.User{
			ID:         "42",
			Identifier: "jürgen@example.org",
			Verified:   true,
			ChannelPermissions: []sessioncache.ChannelPermissions{
				{ID: "1", Token: cache.NewSecret("channel-token-1"), Code: "default", Permissions: []string{"Authenticated", "Owner"}},
				{ID: "2", Code: "empty"},
				{ID: "3", Token: cache.NewSecret("channel-token-3"), Code: "b2b", Permissions: []string{"", "ReadOrder"}},
			},
		},
		CustomFields: map[string]any{
			"nil":     nil,
			"false":   false,
			"true":    true,
			"int":     -1_000_000,
			"int64":   int64(math.MinInt64),
			"uint64":  uint64(math.MaxUint64),
			"float":   -0.1,
			"string":  "long: " + strings.Repeat("x", 200),
			"bytes":   []byte{0, 0xff, 0x80},
			"time":    time.Date(2026, 2, 3, 4, 5, 6, 789_012_345, time.UTC),
			"list":    []any{1, "two", []any{3.0}, nil},
			"strings": []string{"", "a", "\x00\xff"},
			"map":     map[string]any{"inner": map[string]any{"": uint64(1)}},

			"int8": int8(-8), "int16": int16(-16), "int32": int32(-32),
			"uint": uint(1), "uint8": uint8(8), "uint16": uint16(16), "uint32": uint32(32),
			"float32": float32(-0.1), "duration": 90 * time.Minute, "uuid": [16]byte{0, 1, 15: 0xff},
			"slices": []any{[]int64{1, -1}, []bool{true}, [][]byte{{1}, nil, {}}, []map[string]any{nil, {}}},
			"tables": []any{map[string]string{"a": "b"}, map[int]any{2: "two", -1: nil}, map[[16]byte][]float32{{1}: {1}}},
		},
	}
}

func encode(t testing.TB, s *sessioncache.CachedSession) []byte {
	t.Helper()
	data, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatalf("encoding: %v", err)
	}
	return data
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	crowded := newSession(0)
	crowded.User.ChannelPermissions[0].Permissions = make([]string, 1000)
	cases := map[string]*sessioncache.CachedSession{
		"zero":                  {},
		"anonymous":             {ID: "1", Expires: time.UnixMilli(1).UTC(), ActiveOrderID: "9"},
		"times before 1970":     {Expires: time.UnixMilli(-1).UTC(), CacheExpiry: time.UnixMilli(math.MinInt64).UTC()},
		"time of the far end":   {Expires: time.UnixMilli(math.MaxInt64).UTC()},
		"zero user":             {User: &sessioncache.User{}},
		"user without channels": {User: &sessioncache.User{ID: "1", Identifier: "a", Verified: true}},
		"zero channel":          {User: &sessioncache.User{ChannelPermissions: make([]sessioncache.ChannelPermissions, 1)}},
		"zero channels":         {User: &sessioncache.User{ChannelPermissions: make([]sessioncache.ChannelPermissions, 300)}},
		"empty permissions":     crowded,
		"any bytes":             {ID: "\xff\xfe\x00", AuthenticationStrategy: "\x00", User: &sessioncache.User{Identifier: "\xc3\x28\n"}},
		"texts of 127 to 129": {ID: sessioncache.ID(strings.Repeat("a", 127)), ActiveOrderID: sessioncache.ID(strings.Repeat("b", 128)),
			ActiveChannelID: sessioncache.ID(strings.Repeat("c", 129)), AuthenticationStrategy: strings.Repeat("d", 1<<16)},
		"2 permissions":  newSession(2),
		"3 permissions":  newSession(3),
		"4 permissions":  newSession(4),
		"60 permissions": newSession(60),
		"everything":     goldenSession(),
	}
	for name, session := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkRoundTrip(t, session)
		})
	}
}

// checkRoundTrip encodes session and decodes it in every way.
func checkRoundTrip(t *testing.T, session *sessioncache.CachedSession) {
	t.Helper()
	data := encode(t, session)
	decoded, err := sessioncache.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	var copied, owned sessioncache.CachedSession
	if err := copied.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	if err := owned.UnmarshalOwned(data); err != nil {
		t.Fatal(err)
	}
	for way, got := range map[string]*sessioncache.CachedSession{"decode": decoded, "UnmarshalBinary": &copied, "UnmarshalOwned": &owned} {
		if !reflect.DeepEqual(got, session) {
			t.Fatalf("%s: got %#v\nwant %#v", way, (*fieldwise)(got), (*fieldwise)(session))
		}
		if again := encode(t, got); !bytes.Equal(again, data) {
			t.Fatalf("%s: encoding again gives %x, want %x", way, again, data)
		}
	}
}

// fieldwise prints all fields of a session except the secrets.
type fieldwise sessioncache.CachedSession

func TestTimesLoseWhatIsBelowAMillisecondAndTheirZone(t *testing.T) {
	t.Parallel()
	exact := time.Date(2026, 1, 2, 3, 4, 5, 999_999_999, time.FixedZone("east", 3600))
	decoded, err := sessioncache.Decode(encode(t, &sessioncache.CachedSession{Expires: exact}))
	if err != nil {
		t.Fatal(err)
	}
	if want := exact.Truncate(time.Millisecond).UTC(); decoded.Expires != want {
		t.Errorf("Expires is %v, want %v", decoded.Expires, want)
	}
	if !decoded.CacheExpiry.IsZero() {
		t.Errorf("CacheExpiry is %v, want zero", decoded.CacheExpiry)
	}
}

func TestEmptyIsNilAfterDecoding(t *testing.T) {
	t.Parallel()
	decoded, err := sessioncache.Decode(encode(t, &sessioncache.CachedSession{
		User:         &sessioncache.User{ChannelPermissions: []sessioncache.ChannelPermissions{}},
		CustomFields: map[string]any{},
	}))
	if err != nil {
		t.Fatal(err)
	}
	if decoded.CustomFields != nil || decoded.User.ChannelPermissions != nil {
		t.Errorf("got %#v and %#v, want nil and nil", decoded.CustomFields, decoded.User.ChannelPermissions)
	}
}

func TestAppendBinaryAppends(t *testing.T) {
	t.Parallel()
	data := encode(t, goldenSession())
	for _, room := range []int{0, 1, len(data), 2 * len(data)} {
		dst := append(make([]byte, 0, 6+room), "before"...)
		got, err := goldenSession().AppendBinary(dst)
		if err != nil || string(got) != "before"+string(data) {
			t.Fatalf("with room for %d bytes: %q, %v", room, got, err)
		}
	}
	bad := sessioncache.CachedSession{CustomFields: map[string]any{"f": struct{}{}}}
	if got, err := bad.AppendBinary([]byte("before")); err == nil || string(got) != "before" {
		t.Fatalf("after an error: %q, %v", got, err)
	}
}

func TestTokenIsNotEncoded(t *testing.T) {
	t.Parallel()
	session := goldenSession()
	without := encode(t, session)
	session.Token = cache.NewSecret(sessionToken)
	if with := encode(t, session); !bytes.Equal(with, without) {
		t.Error("the encoding depends on the token")
	}
	if err := session.UnmarshalBinary(without); err != nil || session.Token.Reveal() != sessionToken {
		t.Errorf("decoding replaced the token: %v", err)
	}
}

// TestGolden fails if a change breaks sessions that running processes have stored. Never change the
// file: a new format needs a new version and a new file.
func TestGolden(t *testing.T) {
	t.Parallel()
	data := golden(t, "testdata/session_v2.hex")
	decoded, err := sessioncache.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(decoded, goldenSession()) {
		t.Errorf("got %#v", (*fieldwise)(decoded))
	}
	if got := encode(t, goldenSession()); !bytes.Equal(got, data) {
		t.Errorf("encodes as\n%x", got)
	}
}

// What an earlier release has stored is a miss for this one, and is left alone.
func TestGoldenOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	data := golden(t, "testdata/session_v1.hex")
	if _, err := sessioncache.Decode(data); !errors.Is(err, sessioncache.ErrVersion) || !errors.Is(err, cache.ErrForeign) {
		t.Errorf("got %v, want ErrVersion", err)
	}
}

func golden(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestUnmarshalBinaryKeepsNoReference(t *testing.T) {
	t.Parallel()
	var session sessioncache.CachedSession
	record := sessioncache.NewRecord()
	for _, target := range []interface{ UnmarshalBinary([]byte) error }{&session, record} {
		data := encode(t, goldenSession())
		if err := target.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		for i := range data {
			data[i] = 0xee
		}
	}
	if !reflect.DeepEqual(&session, goldenSession()) || !reflect.DeepEqual(&record.CachedSession, goldenSession()) {
		t.Error("the session changed with the data it was decoded from")
	}
}

func TestUnmarshalOwnedDoesNotCopy(t *testing.T) {
	t.Parallel()
	var session sessioncache.CachedSession
	record := sessioncache.NewRecord()
	for _, target := range []cache.OwnedUnmarshaler{&session, record} {
		data := encode(t, goldenSession())
		if err := target.UnmarshalOwned(data); err != nil {
			t.Fatal(err)
		}
		data[bytes.IndexByte(data, '7')] = '8'
	}
	if session.ID != "8" || record.ID != "8" {
		t.Errorf("ids are %q and %q: the strings were copied", session.ID, record.ID)
	}
}

// Mutable values must be copied, even if decoding may point into the data.
func TestOwnedBytesAreCopied(t *testing.T) {
	t.Parallel()
	session := &sessioncache.CachedSession{CustomFields: map[string]any{"bytes": []byte("abc"), "text": "abc"}}
	data := encode(t, session)
	before := slices.Clone(data)
	decoded, err := sessioncache.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	copy(decoded.CustomFields["bytes"].([]byte), "xyz")
	if !bytes.Equal(data, before) {
		t.Error("writing to a custom field wrote to the data")
	}
}

func TestFailedUnmarshalLeavesTheSessionAlone(t *testing.T) {
	t.Parallel()
	data := encode(t, goldenSession())
	session := newSession(2)
	session.Token = cache.NewSecret(sessionToken)
	for length := range data {
		if err := session.UnmarshalBinary(data[:length]); err == nil {
			t.Fatalf("%d bytes decode", length)
		}
	}
	want := newSession(2)
	want.Token = cache.NewSecret(sessionToken)
	if !reflect.DeepEqual(session, want) {
		t.Errorf("got %#v", (*fieldwise)(session))
	}
}
