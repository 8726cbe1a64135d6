package sessioncache_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

const (
	sessionToken = "5a1e8c0d9f3b7264aa10ce55d2f7b98e"
	channelToken = "chan-9pyk-hvdz4ugk3mzc"
	identifier   = "hayden.zieme@example.org"
	fieldSecret  = "otp-seed-JBSWY3DPEHPK3PXP"
)

func secretSession(t *testing.T) *sessioncache.CachedSession {
	session := newSession(2)
	session.User.Identifier = identifier
	session.User.ChannelPermissions[0].Token = cache.NewSecret(channelToken)
	session.CustomFields = map[string]any{"otp": fieldSecret}
	record := sessioncache.NewRecord()
	if err := record.UnmarshalOwned(encode(t, session)); err != nil {
		t.Fatal(err)
	}
	record.SetToken(sessionToken)
	return &record.CachedSession
}

// leaks returns the secrets that text shows, including in their usual encodings.
func leaks(text string, secrets ...string) (found []string) {
	for _, secret := range secrets {
		raw := []byte(secret)
		bytewise := strings.Trim(fmt.Sprintf("%d", raw), "[]")
		for _, form := range []string{secret, hex.EncodeToString(raw), bytewise, base64.StdEncoding.EncodeToString(raw), fmt.Sprintf("% x", raw)} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
				found = append(found, form)
			}
		}
	}
	return found
}

type exportedHolder struct {
	Session  sessioncache.CachedSession
	Pointer  *sessioncache.CachedSession
	User     *sessioncache.User
	Any      any
	Channels []sessioncache.ChannelPermissions
	sessioncache.ID
}

type unexportedHolder struct {
	session  sessioncache.CachedSession
	pointer  *sessioncache.CachedSession
	record   *sessioncache.Record
	whole    sessioncache.Record
	user     sessioncache.User
	channels []sessioncache.ChannelPermissions
	list     []sessioncache.CachedSession
	byName   map[string]sessioncache.CachedSession
	any      any
}

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	s := secretSession(t)
	all := []string{sessionToken, channelToken, identifier, fieldSecret}
	// Nothing can keep fmt from reading plain strings in unexported fields of other types. Tokens
	// are behind a pointer that it does not follow.
	tokens := []string{sessionToken, channelToken}
	record := sessioncache.NewRecord()
	if err := record.UnmarshalOwned(encode(t, s)); err != nil {
		t.Fatal(err)
	}
	record.SetToken(sessionToken)
	unexported := unexportedHolder{session: *s, pointer: s, record: record, whole: *record, user: *s.User, channels: s.User.ChannelPermissions,
		list: []sessioncache.CachedSession{*s}, byName: map[string]sessioncache.CachedSession{"a": *s}, any: *s}

	values := []struct {
		name    string
		value   any
		secrets []string
	}{
		{"session", *s, all},
		{"pointer", s, all},
		{"pointer to pointer", &s, tokens},
		{"record", record, all},
		{"user", *s.User, all},
		{"pointer to user", s.User, all},
		{"channel", s.User.ChannelPermissions[0], all},
		{"pointer to channel", &s.User.ChannelPermissions[0], all},
		{"channels", s.User.ChannelPermissions, all},
		{"token", s.Token, all},
		{"slice", []sessioncache.CachedSession{*s}, all},
		{"slice of pointers", []*sessioncache.CachedSession{s}, all},
		{"map", map[string]*sessioncache.CachedSession{"a": s}, all},
		{"map of values", map[string]any{"a": *s}, all},
		{"exported fields", exportedHolder{*s, s, s.User, s, s.User.ChannelPermissions, "1"}, all},
		{"pointer to exported fields", &exportedHolder{*s, s, s.User, s, s.User.ChannelPermissions, "1"}, all},
		{"unexported fields", unexported, tokens},
		{"pointer to unexported fields", &unexported, tokens},
		{"plain copy", fieldwise(*s), tokens},
	}
	for _, v := range values {
		check := func(how, text string) {
			t.Helper()
			if found := leaks(text, v.secrets...); found != nil {
				t.Errorf("%s, %s: %q is in %s", v.name, how, found, text)
			}
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "% x", "%#x", "%t", "%T", "%c", "%U", "%e", "%10.200s"} {
			check(verb, fmt.Sprintf(verb, v.value))
		}
		if found := leaks(fmt.Sprintf("%p", v.value), tokens...); found != nil { // fmt asks no Formatter for %p
			t.Errorf("%s, %%p: %q is shown", v.name, found)
		}
		check("Print", fmt.Sprint(v.value)+fmt.Sprintln("x", v.value))
		check("Errorf", errors.Join(fmt.Errorf("with %v", v.value), fmt.Errorf("with %+v", v.value)).Error())

		var out bytes.Buffer
		log.New(&out, "", 0).Printf("%+v", v.value)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v.value, slog.Group("g", "v", v.value))
		slog.New(slog.NewJSONHandler(&out, nil)).With("with", v.value).Info("x", "v", v.value)
		if err := template.Must(template.New("").Parse("{{.}}")).Execute(&out, v.value); err != nil {
			t.Error(err)
		}
		check("logs", out.String())

		text, err := json.Marshal(v.value)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
		check("JSON", string(text))
	}
}

func TestErrorsOfDecodingPrintNoSecret(t *testing.T) {
	t.Parallel()
	s := secretSession(t)
	data := encode(t, s)
	for i := range data {
		for _, forged := range [][]byte{data[:i:i], append(append(data[:i:i], data[i]^0x55), data[i+1:]...)} {
			if _, err := sessioncache.Decode(forged); err != nil {
				if found := leaks(fmt.Sprintf("%v %#v", err, err), channelToken, identifier, fieldSecret); found != nil {
					t.Fatalf("%q is in %v", found, err)
				}
			}
		}
	}
}

func TestPrintedForms(t *testing.T) {
	t.Parallel()
	s := secretSession(t)
	var out bytes.Buffer
	text := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	text.Info("in", "session", s, "user", s.User, "channel", &s.User.ChannelPermissions[0])
	var nobody *sessioncache.User
	var nothing *sessioncache.CachedSession
	var nowhere *sessioncache.ChannelPermissions
	text.Info("in", "session", nothing, "user", nobody, "channel", nowhere)
	inJSON, err := json.Marshal(map[string]any{"session": s, "user": s.User, "none": nobody})
	if err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct{ got, want string }{
		{fmt.Sprint(s), `session{id:"1048576" user:"99120" expires:2027-01-01T00:00:00Z custom:1}`},
		{fmt.Sprint(sessioncache.CachedSession{ID: "line\nbreak"}), `session{id:"line\nbreak" expires:0001-01-01T00:00:00Z custom:0}`},
		{fmt.Sprint(s.User), `user{id:"99120" verified:true channels:1}`},
		{fmt.Sprint(s.User.ChannelPermissions[0]), `channel{id:"1" code:"__default_channel__" permissions:2}`},
		{fmt.Sprint(nobody, nothing, nowhere), `<nil> <nil> <nil>`},
		{string(inJSON), `{"none":null,"session":"session{id:\"1048576\" user:\"99120\" expires:2027-01-01T00:00:00Z custom:1}","user":"user{id:\"99120\" verified:true channels:1}"}`},
		{out.String(), "level=INFO msg=in session.id=1048576 session.expires=2027-01-01T00:00:00.123Z session.custom=1 session.user=99120" +
			" user.id=99120 user.verified=true user.channels=1 channel.id=1 channel.code=__default_channel__ channel.permissions=2\n" +
			"level=INFO msg=in session=<nil> user=<nil> channel=<nil>\n"},
	} {
		if c.got != c.want {
			t.Errorf("got  %s\nwant %s", c.got, c.want)
		}
	}
}

// Storing a session as JSON would silently lose its secrets, so it must fail.
func TestJSONCannotBeReadBack(t *testing.T) {
	t.Parallel()
	s := secretSession(t)
	for _, value := range []any{s, s.User, &s.User.ChannelPermissions[0]} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, value); err == nil {
			t.Errorf("%T was read back from %s", value, text)
		}
	}
}
