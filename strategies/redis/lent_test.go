package redis_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/internal/redistest"
	"github.com/fxcache/fxcache/strategies/redis"
)

// newLentClient is the example "Beyond the keys" in docs/redis.md.
func newLentClient(address string, token func() (user, password string, expires time.Time, err error)) (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{address},
		AuthCredentialsFn: func(rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
			user, password, expires, err := token()
			return rueidis.AuthCredentials{Username: user, Password: password, RefreshAfter: expires.Add(-time.Minute)}, err
		},
		DisableCache: true, DisableRetry: true, AlwaysPipelining: true,
		ForceSingleClient: true, ConnLifetime: 5 * time.Minute, ConnWriteTimeout: time.Second,
		Dialer: net.Dialer{Timeout: time.Second, KeepAlive: time.Second},
	})
}

// The example in docs/redis.md works, and each of its connections has a token of its own.
func TestBeyondTheKeys(t *testing.T) {
	t.Parallel()
	redistest.Require(t)
	server := redistest.Start(t)
	var issued atomic.Int64
	client, err := newLentClient(server.Addr(), func() (user, password string, expires time.Time, err error) {
		password = "token-" + string(rune('a'+issued.Add(1)))
		_, err = server.Do(context.Background(), "ACL", "SETUSER", "app", "reset", "on", ">"+password, "~*", "&*", "+@all")
		return "app", password, time.Now().Add(time.Hour), err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s := &started{TB: t, Strategy: on(redis.Options{})(t).(*redis.Strategy)}
	s.must(s.Init(t.Context(), lending(t, client)))
	t.Cleanup(func() { s.must(s.Destroy(context.Background())) })
	s.works("with the first tokens")
	before := issued.Load()
	kill(t, server)
	until(t, func() error {
		err := s.Set(t.Context(), "n:k", []byte("v"), newOptions)
		if err == nil && issued.Load() == before {
			err = errors.New("no new connection")
		}
		return err
	})
}
