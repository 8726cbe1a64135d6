package mutants

// What waits until other nodes serve nothing any more that was revoked, and what does not.
var propagation = []Mutant{
	{
		Guard: "propagation-wait", What: "a revocation waits until no node serves what it has ended",
		File: "cache/propagation.go", Text: "case delay > 0:", Replacement: "case delay < 0:",
		By: []Search{{Folder: "cache", Run: "^TestEveryChangeWaitsOnce$"}},
	},
	{
		Guard: "propagation-tenth", What: "it waits a tenth longer, because clocks differ in speed",
		File: "cache/propagation.go", Text: "elapse(ctx, delay+delay/10)", Replacement: "elapse(ctx, delay)",
		By: []Search{{Folder: "cache", Run: "^TestEveryChangeWaitsOnce$"}},
	},
	{
		Guard: "propagation-once", What: "it waits once, and not for each key",
		File: "cache/propagation.go", Text: "elapse(ctx, delay+delay/10)", Replacement: "elapse(ctx, time.Duration(names)*(delay+delay/10))",
		By: []Search{{Folder: "cache", Run: "^TestEveryChangeWaitsOnce$"}},
	},
	{
		Guard: "propagation-no-names", What: "a call without a key or tag does not wait",
		File: "cache/propagation.go", Text: "if err != nil || names == 0 {", Replacement: "if err != nil {",
		By: []Search{{Folder: "cache", Run: "^TestNothingElseWaits$"}},
	},
	{
		Guard: "propagation-failed", What: "a call that failed does not wait",
		File: "cache/propagation.go", Text: "	if err != nil || names == 0 {\n		return err\n	}\n", Replacement: "	if names == 0 {\n		return err\n	}\n	if err != nil {\n		defer func() { _ = propagated(ctx, op, names, nil, stores...) }()\n		return err\n	}\n",
		By: []Search{{Folder: "cache", Run: "^TestNothingElseWaits$"}},
	},
	{
		Guard: "propagation-slowest-store", What: "it waits for the slowest store",
		File: "cache/propagation.go", Text: "longest, err = max(longest, delay), cmp.Or(err, failed)", Replacement: "longest, err = delay, cmp.Or(err, failed)",
		By: []Search{{Folder: "cache", Run: "^TestPropagationOfStores$"}},
	},
	{
		Guard: "propagation-handover", What: "during a handover it waits for the slower storage",
		File: "cache/handover.go", Text: "longest, err = max(longest, delay), cmp.Or(err, failed)", Replacement: "longest, err = max(longest, 0*delay), cmp.Or(err, failed)",
		By: []Search{{Folder: "cache", Run: "^TestPropagationDuringAHandover$"}},
	},
	{
		Guard: "propagation-after", What: "how long is asked after the storage has answered",
		File: "cache/service.go", Text: "	err := store.revoke(\"delete\", len(physical), invalid, func(d *door) error { return d.delete(ctx, store.options().MaxTTL, physical) })\n	return propagated(ctx, \"delete\", len(keys), err, store)\n",
		Replacement: "	delay, _ := propagation(s.stores[:1])\n	err := store.revoke(\"delete\", len(physical), invalid, func(d *door) error { return d.delete(ctx, store.options().MaxTTL, physical) })\n	_ = wait(ctx, delay+delay/10)\n	return err\n",
		By:          []Search{{Folder: "cache", Run: "^TestPropagationIsThatAfterTheAnswer$"}},
	},
	{
		Guard: "propagation-not-found", What: "it waits also if the storage had no such entry",
		File: "cache/service.go", Text: `return propagated(ctx, "delete", len(keys), err, store)`,
		Replacement: "n := 0\n	for _, key := range physical {\n		if _, found, _ := store.door().get(ctx, key, expected{}); found {\n			n++\n		}\n	}\n	return propagated(ctx, \"delete\", n, err, store)",
		By:          []Search{{Folder: "cache", Run: "^TestEveryChangeWaitsOnce$"}},
	},
	{
		Guard: "propagation-delete", What: "Delete of a cache waits",
		File: "cache/cache.go", Text: `return propagated(ctx, "delete", len(keys), err, c.store)`, Replacement: "return err",
		By: []Search{{Folder: "cache", Run: "^TestEveryChangeWaitsOnce$"}},
	},
	{
		Guard: "propagation-tags", What: "InvalidateTags waits",
		File: "cache/service.go", Text: `return propagated(ctx, "invalidate", len(tags), s.main().invalidateTags(ctx, tags), s.stores...)`, Replacement: "return s.main().invalidateTags(ctx, tags)",
		By: []Search{{Folder: "cache", Run: "^TestEveryChangeWaitsOnce$"}},
	},
	{
		Guard: "propagation-tags-of-stores", What: "InvalidateTags of several stores waits",
		File: "cache/service.go", Text: `return propagated(ctx, "invalidate", len(tags), err, s.stores...)`, Replacement: "return err",
		By: []Search{{Folder: "cache", Run: "^TestPropagationOfStores$"}},
	},
	{
		Guard: "propagation-clear", What: "Clear waits",
		File: "cache/service.go", Text: `return propagated(ctx, "clear", 1, err, s.stores...)`, Replacement: "return err",
		By: []Search{{Folder: "cache", Run: "^TestEveryChangeWaitsOnce$"}},
	},
	{
		Guard: "propagation-set", What: "Set waits",
		File: "cache/cache.go", Text: `return written(ctx, "set", 1, err, c.store)`, Replacement: "return err",
		By: []Search{{Folder: "cache", Run: "^TestEveryChangeWaitsOnce$"}},
	},
	{
		Guard: "propagation-service-set", What: "Set of the Service waits",
		File: "cache/service.go", Text: `return written(ctx, "set", 1, err, store)`, Replacement: "return err",
		By: []Search{{Folder: "cache", Run: "^TestEveryChangeWaitsOnce$"}},
	},
	{
		Guard: "propagation-set-many", What: "SetMany waits",
		File: "cache/many.go", Text: `return written(ctx, "set", len(values), b.err(), s)`, Replacement: "return b.err()",
		By: []Search{{Folder: "cache", Run: "^TestEveryChangeWaitsOnce$"}},
	},
	{
		Guard: "propagation-update", What: "Update waits",
		File: "cache/cache.go", Text: `return value, written(ctx, "update", 1, err, c.store)`, Replacement: "return value, err",
		By: []Search{{Folder: "cache", Run: "^TestEveryChangeWaitsOnce$"}},
	},
	{
		Guard: "propagation-applied", What: "a context that ends in the wait is an error of what was applied, and nothing is pending",
		File: "cache/propagation.go", Text: "[]error{ErrNotPropagated, e.Err}", Replacement: "[]error{ErrRevocationPending, e.Err}",
		By: []Search{{Folder: "cache", Run: "^TestContextEndsInTheWait$"}},
	},
	{
		Guard: "propagation-left", What: "the error says how much of the wait was left",
		File: "cache/propagation.go", Text: "&PropagationError{For: left, Err: ctx.Err()}", Replacement: "&PropagationError{For: delay, Err: ctx.Err()}",
		By: []Search{{Folder: "cache", Run: "^TestContextEndsInTheWait$"}},
	},
	{
		Guard: "propagation-silent", What: "a context that ends in the wait does not make the call succeed",
		File: "cache/propagation.go", Text: "if left <= 0 {", Replacement: "if left < delay {",
		By: []Search{{Folder: "cache", Run: "^TestContextEndsInTheWait$"}},
	},
	{
		Guard: "propagation-panic", What: "a strategy that panics cannot say that nobody has to wait",
		File: "cache/propagation.go", Text: "err = &PropagationError{Err: err}", Replacement: "err = nil",
		By: []Search{{Folder: "cache", Run: "^TestContextEndsInTheWait$"}},
	},
	{
		Guard: "propagation-outside-timeout", What: "the wait is not within the deadline of the operation",
		File: "cache/propagation.go", Text: "err = elapse(ctx, delay+delay/10)", Replacement: "bounded, cancel := context.WithTimeout(ctx, stores[0].options().Timeout)\n		defer cancel()\n		err = elapse(bounded, delay+delay/10)",
		By: []Search{{Folder: "cache", Run: "^TestTheWaitHoldsNothing$"}},
	},
	{
		Guard: "propagation-lease", What: "an Update gives up its lease before it waits",
		File: "cache/load.go", Text: "		kept := context.WithoutCancel(ctx)\n		if settled = l.fill(", Replacement: "		kept := context.WithoutCancel(ctx)\n		_ = propagated(ctx, \"update\", 1, nil, l.store)\n		if settled = l.fill(",
		By: []Search{{Folder: "cache", Run: "^TestTheWaitHoldsNothing$"}},
	},
	{
		Guard: "propagation-place", What: "a refresh does not wait, and keeps no place of max_concurrent_loads",
		File: "cache/refresh.go", Text: "		pause = l.reload(ctx, owner, d, physical, r, load)\n", Replacement: "		pause = l.reload(ctx, owner, d, physical, r, load)\n		_ = propagated(ctx, \"load\", 1, nil, l.store)\n",
		By: []Search{{Folder: "cache", Run: "^TestNothingElseWaits$"}},
	},
	{
		Guard: "propagation-fill", What: "the fill of a load does not wait",
		File: "cache/lease.go", Text: "	ok, err := source.door.fill(ctx, source.lease, encoded, opts)\n", Replacement: "	ok, err := source.door.fill(ctx, source.lease, encoded, opts)\n	_ = propagated(ctx, \"fill\", 1, err, l.store)\n",
		By: []Search{{Folder: "cache", Run: "^TestNothingElseWaits$"}},
	},
	{
		Guard: "propagation-fill-many", What: "the fills of a load of many do not wait",
		File: "cache/many_load.go", Text: "	if failure := m.deleteReplaced(ctx, physicalOf(replaced)...); failure != nil {\n", Replacement: "	_ = propagated(ctx, \"fill\", len(fills), nil, m.store)\n	if failure := m.deleteReplaced(ctx, physicalOf(replaced)...); failure != nil {\n",
		By: []Search{{Folder: "cache", Run: "^TestNothingElseWaits$"}},
	},
	{
		Guard: "propagation-discard", What: "the deletion of a damaged entry does not wait",
		File: "cache/door.go", Text: "		if err != nil && ctx.Err() == nil {\n			d.noDiscard", Replacement: "		_ = propagated(ctx, \"delete\", 1, err, d.store)\n		if err != nil && ctx.Err() == nil {\n			d.noDiscard",
		By: []Search{{Folder: "cache", Run: "^TestNothingElseWaits$"}},
	},
	{
		Guard: "propagation-pending", What: "nobody waits for the other nodes when what was pending is applied",
		File: "cache/door.go", Text: "	return timeoutError(ctx, d.timeout(), d.leaser.Delete(bounded, names...))\n", Replacement: "	err = timeoutError(ctx, d.timeout(), d.leaser.Delete(bounded, names...))\n	return propagated(ctx, \"delete\", 1, err, d.store)\n",
		By: []Search{{Folder: "cache", Run: "^TestNothingElseWaits$"}},
	},
	{
		Guard: "propagation-new-key", What: "a Set or Update of a new key does not wait",
		File: "cache/propagation.go", Text: "if chain.SkipsPropagation(ctx) {", Replacement: "if chain.SkipsPropagation(context.Background()) {",
		By: []Search{{Folder: "cache", Run: "^TestNewKey$"}},
	},
	{
		Guard: "propagation-new-key-only", What: "a Delete waits, whatever its context says of a new key",
		File: "cache/cache.go", Text: `return propagated(ctx, "delete", len(keys), err, c.store)`, Replacement: `return written(ctx, "delete", len(keys), err, c.store)`,
		By: []Search{{Folder: "cache", Run: "^TestNewKey$"}},
	},
	{
		Guard: "propagation-new-key-within", What: "the code within the write of a new key waits",
		File: "internal/chain/chain.go", Text: "return direct && link == innermost(ctx)", Replacement: "return direct && link.alive() == nil",
		By: []Search{{Folder: "cache", Run: "^TestNewKey$"}},
	},
	{
		Guard: "propagation-new-key-after", What: "and so does code that keeps the context of the write",
		File: "internal/chain/chain.go", Text: "return direct && link == innermost(ctx)", Replacement: "return direct && link == From(ctx)",
		By: []Search{{Folder: "cache", Run: "^TestNewKey$"}},
	},
	{
		Guard: "propagation-renewal", What: "a read that renews a session does not wait",
		File: "sessioncache/renew.go", Text: "d.Update(chain.WithoutPropagation(ctx), token,", Replacement: "d.Update(ctx, token,",
		By: []Search{{Folder: "sessioncache", Run: "^TestWhoWaitsForOtherNodes$"}},
	},
	{
		Guard: "propagation-guarded", What: "the guard around a strategy that ignores contexts hides no Propagator",
		File: "cache/guarded.go", Text: "	f.Cancellable = true\n", Replacement: "	f.Cancellable = true\n	f.Propagator = nil\n",
		By: []Search{{Folder: "cache", Run: "^TestEveryChangeWaitsOnce$"}},
	},
	{
		Guard: "propagation-fenced", What: "the fence around a strategy without leases hides no Propagator",
		File: "cache/fenced.go", Text: "	features.Notifier = nil ", Replacement: "	features.Propagator = nil\n	features.Notifier = nil ",
		By: []Search{{Folder: "cache", Run: "^TestEveryChangeWaitsOnce$"}},
	},
}
