package sessioncache_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// Not parallel: it counts allocations.
func TestDecodeAllocations(t *testing.T) {
	twoChannels := newSession(30)
	twoChannels.User.ChannelPermissions = append(twoChannels.User.ChannelPermissions, newSession(30).User.ChannelPermissions...)
	cases := map[string]struct {
		session *sessioncache.CachedSession
		want    float64
	}{
		"anonymous":                    {&sessioncache.CachedSession{ID: "1"}, 1},
		"3 permissions":                {newSession(3), 1},
		"60 permissions":               {newSession(60), 2},
		"60 permissions of 2 channels": {twoChannels, 3},
	}
	for name, c := range cases {
		data := encode(t, c.session)
		got := testing.AllocsPerRun(100, func() {
			record := sessioncache.NewRecord()
			if err := record.UnmarshalOwned(data); err != nil {
				t.Error(err)
			}
			record.SetToken(sessionToken)
			sink = record
		})
		if got != c.want {
			t.Errorf("%s: %v allocations, want %v", name, got, c.want)
		}
	}
}

// sink keeps the compiler from putting a record on the stack.
var sink *sessioncache.Record

// Not parallel: it counts allocations.
func TestEncodeAllocations(t *testing.T) {
	session := newSession(60)
	dst := make([]byte, 0, 4096)
	if got := testing.AllocsPerRun(100, func() { _, _ = session.AppendBinary(dst) }); got != 0 {
		t.Errorf("%v allocations with room, want 0", got)
	}
	if got := testing.AllocsPerRun(100, func() { _, _ = session.AppendBinary(nil) }); got > 2 { // one, and another one with the race detector
		t.Errorf("%v allocations without room, want 1", got)
	}
}

func TestSetToken(t *testing.T) {
	t.Parallel()
	record := sessioncache.NewRecord()
	if record.SetToken(""); !record.Token.IsZero() {
		t.Error("an empty token is not zero")
	}
	record.SetToken(sessionToken)
	if err := record.UnmarshalOwned(encode(t, newSession(2))); err != nil {
		t.Fatal(err)
	}
	if got := record.Token.Reveal(); got != sessionToken { // to compare it
		t.Error("decoding lost the token")
	}
}

// A reused record must not show anything of the previous session.
func TestRecordIsReplacedWhole(t *testing.T) {
	t.Parallel()
	sessions := []*sessioncache.CachedSession{{}, {User: &sessioncache.User{ID: "1"}}, newSession(1), newSession(60),
		{User: &sessioncache.User{ChannelPermissions: make([]sessioncache.ChannelPermissions, 1)}}, goldenSession()}
	for i, first := range sessions {
		for j, second := range sessions {
			record := sessioncache.NewRecord()
			if err := record.UnmarshalOwned(encode(t, first)); err != nil {
				t.Fatal(err)
			}
			if err := record.UnmarshalOwned(encode(t, second)); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(&record.CachedSession, second) {
				t.Errorf("session %d after session %d: got %#v", j, i, (*fieldwise)(&record.CachedSession))
			}
		}
	}
}

// An application that ignores the error must not find an incomplete session.
func TestRecordIsEmptyAfterAnError(t *testing.T) {
	t.Parallel()
	data := encode(t, goldenSession())
	for length := range data {
		record := sessioncache.NewRecord()
		record.SetToken(sessionToken)
		if err := record.UnmarshalOwned(data[:length]); err == nil {
			t.Fatalf("%d bytes decode", length)
		}
		if !reflect.DeepEqual(record, sessioncache.NewRecord()) {
			t.Fatalf("after %d bytes something is left", length)
		}
	}
}

// All permissions of a session are parts of one list. Appending to one part must not write into the
// next.
func TestPermissionsCanBeAppendedTo(t *testing.T) {
	t.Parallel()
	for _, permissions := range []int{1, 5} {
		session := newSession(permissions)
		session.User.ChannelPermissions = append(session.User.ChannelPermissions, sessioncache.ChannelPermissions{
			ID: "2", Token: cache.NewSecret("second"), Permissions: []string{"Second"}})
		decoded, err := sessioncache.Decode(encode(t, session))
		if err != nil {
			t.Fatal(err)
		}
		channels := decoded.User.ChannelPermissions
		channels[0].Permissions = append(channels[0].Permissions, "SuperAdmin")
		if second := channels[1]; !second.Token.Equal(cache.NewSecret("second")) || !slices.Equal(second.Permissions, []string{"Second"}) {
			t.Error("appending to one channel's permissions changed the next channel")
		}
	}
	decoded, err := sessioncache.Decode(encode(t, newSession(2)))
	if err != nil {
		t.Fatal(err)
	}
	decoded.User.ChannelPermissions = append(decoded.User.ChannelPermissions, sessioncache.ChannelPermissions{ID: "2"})
	if got := fmt.Sprint(decoded.User.ChannelPermissions); got != `[channel{id:"1" code:"__default_channel__" permissions:2} channel{id:"2" code:"" permissions:0}]` {
		t.Error(got)
	}
}
