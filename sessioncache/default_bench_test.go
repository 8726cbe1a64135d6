package sessioncache_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	raw "github.com/allegro/bigcache/v3"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// benchSessions is the number of cached sessions. The benchmark reads one after the other.
const benchSessions = 100_000

// BenchmarkSession compares a hit of Default with code that a team would write by hand on bigcache:
// a bare Get of the same bytes, and a Get with encoding/json. The three take turns in one loop, so
// the ratios hold on a noisy machine. ns/op is that of Default.
func BenchmarkSession(b *testing.B) {
	tokens := make([]string, benchSessions)
	for i := range tokens {
		token := make([]byte, 32)
		_, _ = rand.Read(token)
		tokens[i] = base64.RawURLEncoding.EncodeToString(token) // 43 characters, as the example app's
	}
	for _, permissions := range []int{2, 60} {
		b.Run(fmt.Sprintf("permissions=%d", permissions), func(b *testing.B) {
			session := benchSession(permissions)
			encoded, err := session.AppendBinary(nil)
			check(b, err)
			asJSON, err := json.Marshal(plainSession(session))
			check(b, err)
			bare, text := rawBigcache(b, tokens, encoded), rawBigcache(b, tokens, asJSON)
			sessions, ctx := benchDefault(b, tokens, session), b.Context()
			contenders := []struct {
				name string
				get  func(token string) error
			}{
				{"default", func(token string) error {
					_, found, err := sessions.Get(ctx, token)
					if !found {
						return errors.Join(err, errors.New("not found"))
					}
					return err
				}},
				{"raw", func(token string) error {
					_, err := bare.Get(token)
					return err
				}},
				{"json", func(token string) error {
					value, err := text.Get(token)
					if err != nil {
						return err
					}
					return json.Unmarshal(value, new(plain))
				}},
			}
			b.Run("hit", func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if err := contenders[0].get(tokens[i%benchSessions]); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("turns", func(b *testing.B) {
				const turn = 1000
				var spent [3]time.Duration
				gets := 0
				for b.Loop() {
					for who, c := range contenders {
						began := time.Now()
						for i := range turn {
							if err := c.get(tokens[(gets+i)%benchSessions]); err != nil {
								b.Fatal(err)
							}
						}
						spent[who] += time.Since(began)
					}
					gets += turn
				}
				b.ReportMetric(0, "ns/op")
				for who, c := range contenders {
					b.ReportMetric(float64(spent[who].Nanoseconds())/float64(gets), c.name+"-ns/get")
				}
				b.ReportMetric(float64(spent[0])/float64(spent[1]), "x-raw")
				b.ReportMetric(float64(spent[0])/float64(spent[2]), "x-json")
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

// plain is the session in a form for encoding/json.
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

// rawBigcache is bigcache as its documentation uses it, large enough to evict nothing.
func rawBigcache(b *testing.B, tokens []string, value []byte) *raw.BigCache {
	config := raw.DefaultConfig(time.Hour)
	config.Verbose = false
	entries, err := raw.New(context.Background(), config)
	check(b, err)
	b.Cleanup(func() { _ = entries.Close() })
	for _, token := range tokens {
		check(b, entries.Set(token, value))
	}
	return entries
}

func benchDefault(b *testing.B, tokens []string, session *sessioncache.CachedSession) *sessioncache.Default {
	strategy, err := bigcache.New(bigcache.Options{MaxSize: 1 * driver.GiB})
	check(b, err)
	service, err := cache.NewService(strategy, cache.Options{})
	check(b, err)
	check(b, service.Start(b.Context(), nil))
	b.Cleanup(func() { _ = service.Stop(context.Background()) })
	sessions, err := sessioncache.New(sessioncache.Options{StaleAfter: 12 * time.Hour})
	check(b, err)
	check(b, sessions.Init(b.Context(), injector(b, service)))
	for _, token := range tokens {
		session.Token = cache.NewSecret(token)
		check(b, sessions.Set(b.Context(), session))
	}
	return sessions
}
