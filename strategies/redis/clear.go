package redis

import (
	"context"
	"strings"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

var _ cache.Clearer = (*Strategy)(nil)

// Clear implements cache.Clearer for one namespace, that of the Service. It is the one operation whose
// cost depends on the number of entries: it looks for them with SCAN. Where ctx ends before, what was
// found is gone, and repeating goes on from there.
//
// The ledgers go first: whatever was read before cannot be stored any more. It looks twice, because an
// entry of a slot that migrates may move from a node that was not asked yet to one that was.
func (s *Strategy) Clear(ctx context.Context) error {
	st, conn, err := s.open(ctx)
	if err != nil {
		return err
	}
	namespace, _ := split(st.prefix)
	ledgers := make([]revocation, st.names.lanes)
	for lane, begin := range st.names.in(namespace).lanes {
		ledgers[lane] = revocation{begin: begin, read: []string{begin.ledger}}
	}
	if err := st.revoke(ctx, conn, ledgers); err != nil {
		return err
	}
	for range 2 {
		for _, node := range conn.Nodes() {
			if err := st.clearNode(ctx, conn, node, namespace); err != nil {
				return err
			}
		}
	}
	return nil
}

// scanned is how many keys SCAN looks at in one step.
const scanned = 1000

// clearNode deletes the entries and leases that one node has.
func (st *store) clearNode(ctx context.Context, conn, node rueidis.Client, namespace string) error {
	pattern := globs.Replace(namespace) + ":[" + kindValue + kindLease + "]:*"
	for cursor := uint64(0); ; {
		bounded, cancel := context.WithTimeout(ctx, st.timeout)
		found, err := node.Do(bounded, node.B().Scan().Cursor(cursor).Match(pattern).Count(scanned).Build()).AsScanEntry()
		cancel()
		if err = st.answered(err); err != nil {
			return err
		}
		keys := make([]string, 0, len(found.Elements))
		for _, key := range found.Elements {
			if _, name, ok := strings.Cut(key[len(namespace):], "}:"); ok {
				keys = append(keys, st.prefix+name)
			}
		}
		if len(keys) > 0 {
			if err := st.revoke(ctx, conn, st.names.deletions(keys)); err != nil {
				return err
			}
		}
		if cursor = found.Cursor; cursor == 0 {
			return nil
		}
	}
}

// globs escapes what SCAN would take for a pattern.
var globs = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`)
