package sessioncache_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

func TestRoundTripOfRandomSessions(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		checkRoundTrip(t, randomSession(random))
	}
}

func randomSession(random *rand.Rand) *sessioncache.CachedSession {
	s := &sessioncache.CachedSession{
		ID:                     sessioncache.ID(randomText(random)),
		Expires:                time.UnixMilli(anyInt64(random)).UTC(),
		CacheExpiry:            time.UnixMilli(random.Int64N(1 << 42)).UTC(),
		ActiveOrderID:          sessioncache.ID(randomText(random)),
		ActiveChannelID:        sessioncache.ID(randomText(random)),
		AuthenticationStrategy: randomText(random),
	}
	if random.IntN(4) > 0 {
		s.User = &sessioncache.User{ID: sessioncache.ID(randomText(random)), Identifier: randomText(random), Verified: random.IntN(2) == 0}
		for range random.IntN(4) {
			channel := sessioncache.ChannelPermissions{ID: sessioncache.ID(randomText(random)),
				Token: cache.NewSecret(randomText(random)), Code: randomText(random)}
			for range random.IntN(6) {
				channel.Permissions = append(channel.Permissions, randomText(random))
			}
			s.User.ChannelPermissions = append(s.User.ChannelPermissions, channel)
		}
	}
	for range random.IntN(5) {
		if s.CustomFields == nil {
			s.CustomFields = map[string]any{}
		}
		s.CustomFields[randomText(random)] = randomField(random, 5)
	}
	return s
}

func anyInt64(random *rand.Rand) int64 { return random.Int64() - random.Int64() }

func randomText(random *rand.Rand) string {
	text := make([]byte, min(random.IntN(40), random.IntN(300)))
	for i := range text {
		text[i] = byte(random.Uint64() & 0xff)
	}
	return string(text)
}

// randomField returns a value that equals itself after a round trip: it contains no NaN and no
// empty lists.
func randomField(random *rand.Rand, levels int) any {
	switch kind := random.IntN(13); {
	case kind == 0:
		return random.IntN(2) == 0
	case kind == 1:
		return random.Int() - random.Int()
	case kind == 2:
		return anyInt64(random)
	case kind == 3:
		return random.Uint64()
	case kind == 4:
		return random.NormFloat64()
	case kind == 5:
		return randomText(random)
	case kind == 6:
		return []byte("x" + randomText(random))
	case kind == 7:
		return time.Unix(anyInt64(random), random.Int64N(1e9)).UTC()
	case kind == 8:
		return []string{randomText(random), randomText(random)}
	case kind == 9 && levels > 0:
		return []any{randomField(random, levels-1), randomField(random, levels-1)}
	case kind >= 10 && levels > 0:
		return map[string]any{randomText(random): randomField(random, levels-1), randomText(random): randomField(random, levels-1)}
	default:
		return nil
	}
}
