package redis

import (
	"slices"

	"github.com/redis/rueidis"
)

// revocation is what one lane has to forget.
type revocation struct {
	lane *laneKeys
	// guards are what a fill needs, and read what a reader needs. For Delete these are leases and
	// entries, for InvalidateTags the ledger and nonces.
	guards, read []string
	// args are those of invalidate.lua. nil means that the keys are only unlinked.
	args []string
}

// deletions returns what Delete does: one UNLINK for each lane that has any of keys.
func (k *keyspace) deletions(keys []string) []revocation {
	at := make(map[*laneKeys]int)
	var all []revocation
	for _, key := range keys {
		ref := k.of(key)
		i, ok := at[ref.lane]
		if !ok {
			i = len(all)
			at[ref.lane] = i
			all = append(all, revocation{lane: ref.lane})
		}
		all[i].guards = append(all[i].guards, ref.lease())
		all[i].read = append(all[i].read, ref.value(), ref.body())
	}
	return all
}

// invalidations returns what InvalidateTags does: invalidate.lua in every lane.
func (k *keyspace) invalidations(tags []string, longestLease string) []revocation {
	args := append(make([]string, 0, 1+len(tags)), longestLease)
	for _, tag := range tags {
		args = append(args, ledgerField(tag))
	}
	all := make([]revocation, len(k.lanes))
	for i := range all {
		lane := &k.lanes[i]
		all[i] = revocation{lane, []string{lane.ledger, lane.earlier}, k.nonces(make([]string, 0, len(tags)), lane, tags), args}
	}
	return all
}

// command does all of it atomically. loaded says that the server probably knows the script.
func (r revocation) command(b rueidis.Builder, loaded bool) rueidis.Completed {
	keys := slices.Concat(r.guards, r.read)
	switch {
	case r.args == nil:
		return b.Unlink().Key(keys...).Build()
	case loaded:
		return b.Evalsha().Sha1(invalidateSHA).Numkeys(int64(len(keys))).Key(keys...).Arg(r.args...).Build()
	default:
		return b.Eval().Script(invalidateText).Numkeys(int64(len(keys))).Key(keys...).Arg(r.args...).Build()
	}
}

// keyByKey does it one key at a time. While a slot migrates, its keys are on two nodes. A command
// of several keys is then refused (TRYAGAIN) unless one node has them all. A command of one key
// follows ASK to where the key is.
//
// Unlike command, this leaves a moment in which half of the work is done. So the guards go first,
// and what readers need goes only when the guards are gone:
//   - A fill that comes in between is refused: it needs its lease, or the epoch of its ledger.
//   - A fill that came before has stored what is unlinked afterwards.
//   - A lease that is granted in between was asked for after the revocation began, so its loader
//     reads committed data. At worst its fill is unlinked too, which is a miss.
//
// A lost ledger refuses every lease of its lane, not only those of these tags.
func (r revocation) keyByKey(unlink func(keys []string) error) error {
	if err := unlink(r.guards); err != nil {
		return err
	}
	return unlink(r.read)
}
