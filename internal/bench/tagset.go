package bench

import (
	"context"

	"github.com/redis/rueidis"
)

// TagSet is the algorithm that most libraries use for tags. A set for each tag names the keys of
// its entries, and an invalidation deletes them. It is here only to be measured: an entry that is
// stored while InvalidateTag runs survives.
type TagSet struct{ *Rueidis }

// NewTagSet connects to one server.
func NewTagSet(addr string) (*TagSet, error) {
	client, err := NewRueidis(addr)
	if err != nil {
		return nil, err
	}
	return &TagSet{client}, nil
}

// batch is how many commands go into a pipeline, and how many keys into one DEL.
const batch = 1000

// Load implements Tagger.
func (t *TagSet) Load(ctx context.Context, tag string, keys []string) error {
	for len(keys) > 0 {
		n := min(len(keys), batch)
		commands := make([]rueidis.Completed, 0, 2*n)
		for _, key := range keys[:n] {
			commands = append(commands,
				t.client.B().Set().Key(key).Value(taggedValue).Ex(TTL).Build(),
				t.client.B().Sadd().Key(tag).Member(key).Build())
		}
		for _, reply := range t.client.DoMulti(ctx, commands...) {
			if err := reply.Error(); err != nil {
				return err
			}
		}
		keys = keys[n:]
	}
	return nil
}

// Found implements Tagger.
func (t *TagSet) Found(ctx context.Context, key string) (bool, error) {
	value, found, err := t.Get(ctx, key)
	return found && string(value) == taggedValue, err
}

// InvalidateTag implements Tagger: SMEMBERS, then DEL in batches, the set in the last one.
func (t *TagSet) InvalidateTag(ctx context.Context, tag string) error {
	members, err := t.client.Do(ctx, t.client.B().Smembers().Key(tag).Build()).AsStrSlice()
	if err != nil {
		return err
	}
	members = append(members, tag)
	for len(members) > 0 {
		n := min(len(members), batch)
		if err := t.client.Do(ctx, t.client.B().Del().Key(members[:n]...).Build()).Error(); err != nil {
			return err
		}
		members = members[n:]
	}
	return nil
}
