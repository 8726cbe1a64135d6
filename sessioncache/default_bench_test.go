package sessioncache_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	raw "github.com/allegro/bigcache/v3"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// benchSessions is how many sessions are in the cache while one is read after the other.
const benchSessions = 100_000

// BenchmarkSession compares a hit of Default with what a team would write by hand on bigcache: the
// bare Get of the same bytes, and Get with encoding/json. All in one run, so that the ratios hold on
// a noisy machine.
func BenchmarkSession(b *testing.B) {
	tokens := make([]string, benchSessions)
	for i := range tokens {
		token := make([]byte, 32)
		_, _ = rand.Read(token)
		tokens[i] = base64.RawURLEncoding.EncodeToString(token) + fmt.Sprintf("%021d", i) // 64 characters
	}
	for _, permissions := range []int{2, 60} {
		session := benchSession(permissions)
		sealed, err := session.AppendBinary(nil)
		if err != nil {
			b.Fatal(err)
		}
		asJSON, err := json.Marshal(plainSession(session))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("permissions=%d", permissions), func(b *testing.B) {
			b.Run("raw", func(b *testing.B) {
				entries := rawBigcache(b, tokens, sealed)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if value, err := entries.Get(tokens[i%benchSessions]); err != nil || len(value) == 0 {
						b.Fatal(err)
					}
				}
			})
			b.Run("default", func(b *testing.B) {
				sessions := benchDefault(b, tokens, session)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, found, err := sessions.Get(b.Context(), tokens[i%benchSessions]); err != nil || !found {
						b.Fatal(found, err)
					}
				}
			})
			b.Run("json", func(b *testing.B) {
				entries := rawBigcache(b, tokens, asJSON)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					value, err := entries.Get(tokens[i%benchSessions])
					if err != nil {
						b.Fatal(err)
					}
					var s plain
					if err := json.Unmarshal(value, &s); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func benchSession(permissions int) *sessioncache.CachedSession {
	names := make([]string, permissions)
	for i := range names {
		names[i] = fmt.Sprintf("UpdateCatalog%02d", i)
	}
	return &sessioncache.CachedSession{
		ID: "1042", Expires: time.Now().Add(24 * time.Hour), ActiveOrderID: "77001", ActiveChannelID: "1",
		AuthenticationStrategy: "native",
		User: &sessioncache.User{ID: "42", Identifier: "alice@example.com", Verified: true,
			ChannelPermissions: []sessioncache.ChannelPermissions{{
				ID: "1", Token: cache.NewSecret("e8f5a1b2c3d4e5f60718"), Code: "__default_channel__", Permissions: names,
			}}},
	}
}

// plain is the session as a team would hand it to encoding/json.
type plain struct {
	ID, ActiveOrderID, ActiveChannelID, AuthenticationStrategy string
	Expires, CacheExpiry                                       time.Time
	User                                                       struct {
		ID, Identifier string
		Verified       bool
		Channels       []plainChannel
	}
}

type plainChannel struct {
	ID, Token, Code string
	Permissions     []string
}

func plainSession(s *sessioncache.CachedSession) plain {
	p := plain{ID: string(s.ID), ActiveOrderID: string(s.ActiveOrderID), ActiveChannelID: string(s.ActiveChannelID),
		AuthenticationStrategy: s.AuthenticationStrategy, Expires: s.Expires, CacheExpiry: s.CacheExpiry}
	p.User.ID, p.User.Identifier, p.User.Verified = string(s.User.ID), s.User.Identifier, s.User.Verified
	for _, c := range s.User.ChannelPermissions {
		p.User.Channels = append(p.User.Channels, plainChannel{string(c.ID), c.Token.Reveal(), c.Code, c.Permissions})
	}
	return p
}

// rawBigcache is bigcache as its documentation shows it, big enough that nothing is evicted.
func rawBigcache(b *testing.B, tokens []string, value []byte) *raw.BigCache {
	config := raw.DefaultConfig(time.Hour)
	config.Verbose = false
	entries, err := raw.New(context.Background(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = entries.Close() })
	for _, token := range tokens {
		if err := entries.Set(token, value); err != nil {
			b.Fatal(err)
		}
	}
	return entries
}

func benchDefault(b *testing.B, tokens []string, session *sessioncache.CachedSession) *sessioncache.Default {
	strategy, err := bigcache.New(bigcache.Options{MaxSize: 1 * cache.GiB})
	if err != nil {
		b.Fatal(err)
	}
	service, err := cache.NewService(strategy, cache.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := service.Start(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = service.Stop(context.Background()) })
	sessions, err := sessioncache.New(sessioncache.Options{StaleAfter: 12 * time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	if err := sessions.Init(b.Context(), injector(b, service)); err != nil {
		b.Fatal(err)
	}
	for _, token := range tokens {
		session.Token = cache.NewSecret(token)
		if err := sessions.Set(b.Context(), session); err != nil {
			b.Fatal(err)
		}
	}
	return sessions
}
