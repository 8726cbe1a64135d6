package bench

import (
	"context"

	"github.com/redis/rueidis"
)

// Rueidis is the bare GET of rueidis, the client below the redis strategy: the yardstick.
type Rueidis struct{ client rueidis.Client }

// NewRueidis connects to one server.
func NewRueidis(addr string) (*Rueidis, error) {
	// Everything has the default of rueidis, except for tracking, which a bare GET never uses, and
	// the check whether the server is a Cluster.
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		return nil, err
	}
	return &Rueidis{client}, nil
}

// Set implements Peer.
func (r *Rueidis) Set(ctx context.Context, key string, value []byte) error {
	return r.client.Do(ctx, r.client.B().Set().Key(key).Value(rueidis.BinaryString(value)).Ex(TTL).Build()).Error()
}

// Get implements Peer.
func (r *Rueidis) Get(ctx context.Context, key string) ([]byte, bool, error) {
	value, err := r.client.Do(ctx, r.client.B().Get().Key(key).Build()).AsBytes()
	if rueidis.IsRedisNil(err) {
		return nil, false, nil
	}
	return value, err == nil, err
}

// Close implements Peer.
func (r *Rueidis) Close() error {
	r.client.Close()
	return nil
}
