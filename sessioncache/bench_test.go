package sessioncache_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// newSession returns a session of a customer with so many permissions in one channel.
func newSession(permissions int) *sessioncache.CachedSession {
	names := []string{"Authenticated", "Owner"}
	for i := len(names); i < permissions; i++ {
		names = append(names, fmt.Sprintf("UpdateCatalogProduct%02d", i))
	}
	return &sessioncache.CachedSession{
		ID:                     "1048576",
		Expires:                time.UnixMilli(1_798_761_600_123).UTC(),
		CacheExpiry:            time.UnixMilli(1_767_225_600_456).UTC(),
		ActiveOrderID:          "774411",
		ActiveChannelID:        "1",
		AuthenticationStrategy: "native",
		User: &sessioncache.User{
			ID:         "99120",
			Identifier: "hayden.zieme12@hotmail.com",
			Verified:   true,
			ChannelPermissions: []sessioncache.ChannelPermissions{{
				ID:          "1",
				Token:       cache.NewSecret("hvdz4ugk3mzc8tdw9pyk"),
				Code:        "__default_channel__",
				Permissions: names,
			}},
		},
	}
}

// jsonSession is a session in the form of code that stores sessions as JSON.
type jsonSession struct {
	ID                     string    `json:"id"`
	Token                  string    `json:"token"`
	Expires                time.Time `json:"expires"`
	CacheExpiry            int64     `json:"cacheExpiry"`
	ActiveOrderID          string    `json:"activeOrderId,omitempty"`
	ActiveChannelID        string    `json:"activeChannelId,omitempty"`
	AuthenticationStrategy string    `json:"authenticationStrategy,omitempty"`
	User                   *jsonUser `json:"user,omitempty"`
}

type jsonUser struct {
	ID                 string        `json:"id"`
	Identifier         string        `json:"identifier"`
	Verified           bool          `json:"verified"`
	ChannelPermissions []jsonChannel `json:"channelPermissions"`
}

type jsonChannel struct {
	ID          string   `json:"id"`
	Token       string   `json:"token"`
	Code        string   `json:"code"`
	Permissions []string `json:"permissions"`
}

func newJSONSession(s *sessioncache.CachedSession) *jsonSession {
	j := &jsonSession{
		ID: string(s.ID), Token: sessionToken, Expires: s.Expires, CacheExpiry: s.CacheExpiry.UnixMilli(),
		ActiveOrderID: string(s.ActiveOrderID), ActiveChannelID: string(s.ActiveChannelID),
		AuthenticationStrategy: s.AuthenticationStrategy,
		User:                   &jsonUser{ID: string(s.User.ID), Identifier: s.User.Identifier, Verified: s.User.Verified},
	}
	for _, c := range s.User.ChannelPermissions {
		j.User.ChannelPermissions = append(j.User.ChannelPermissions,
			jsonChannel{ID: string(c.ID), Token: c.Token.Reveal(), Code: c.Code, Permissions: c.Permissions})
	}
	return j
}

func BenchmarkDecode(b *testing.B) {
	for _, permissions := range []int{2, 60} {
		session := newSession(permissions)
		data, err := session.AppendBinary(nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("record/permissions=%d", permissions), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sessioncache.Decode(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("copy/permissions=%d", permissions), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				var decoded sessioncache.CachedSession
				if err := decoded.UnmarshalBinary(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		text, err := json.Marshal(newJSONSession(session))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("json/permissions=%d", permissions), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				var decoded jsonSession
				if err := json.Unmarshal(text, &decoded); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, permissions := range []int{2, 60} {
		session := newSession(permissions)
		var data []byte
		b.Run(fmt.Sprintf("append/permissions=%d", permissions), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if data, err = session.AppendBinary(data[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("marshal/permissions=%d", permissions), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := session.MarshalBinary(); err != nil {
					b.Fatal(err)
				}
			}
		})
		j := newJSONSession(session)
		b.Run(fmt.Sprintf("json/permissions=%d", permissions), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := json.Marshal(j); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
