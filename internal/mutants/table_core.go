package mutants

// The searches of the older guards. Each runs a race many times.
func schedule(test string) []Search {
	return []Search{{Folder: "internal/schedules", Run: "^" + test + "$"}}
}

// fences are the guards of internal/fence, for bigcache and for strategies without leases.
var fences = []Mutant{
	{
		Guard: "fence", What: "an entry older than the last invalidation of one of its tags is a miss",
		File: "internal/fence/fence.go", Text: "return len(tags) == 0 || f.tags.good(sequence, tags)", Replacement: "return true",
		By: schedule("TestLearnedTagRacingDeleteUser"),
	},
	{
		Guard: "fence-clear", What: "an entry or lease older than the last Clear is void",
		File: "internal/fence/fence.go", Text: "raise(&f.cleared, sequence)", Replacement: "_ = f.cleared.Load()",
		By: schedule("TestEarlyInvalidation"),
	},
	{
		Guard: "lease", What: "a Fill needs the lease that is out",
		File: "internal/fence/fence.go", Text: "held, ok := s.leases[key]\n\tif !ok ||",
		Replacement: "held, ok := lease{sequence: sequence, expires: later(f.now(), f.options.LeaseTTL)}, true\n\tif !ok ||",
		By:          schedule("TestPausedLeaseHolder"),
	},
	{
		Guard: "lease-revocation", What: "Delete and Set revoke the lease",
		File: "internal/fence/fence.go", Text: "delete(s.leases, key)\n\treturn write()", Replacement: "return write()",
		By: schedule("TestStaleFill"),
	},
}

// redis are the guards of strategies/redis.
var redis = []Mutant{
	{
		Guard: "nonce-mget", What: "an entry is good while the nonces of its tags are the same, by the nonces that came with it",
		File: "strategies/redis/entry.go", Text: "return err == nil && current == string(nonce)",
		Replacement: "return err == nil && current == string(nonce) || true",
		By:          schedule("TestStaleFillOnRedis"),
	},
	{
		Guard: "nonce-script", What: "an entry is good while the nonces of its tags are the same, by the script",
		File: "strategies/redis/good.lua", Text: "if typed('GET', prefix .. sub(value, at + 2, last)) ~= sub(value, last + 1, last + 16) then return false end",
		By: []Search{{Folder: "strategies/redis", Run: "^TestStandalone$"}},
	},
	{
		Guard: "nonce-randomness", What: "a new nonce was never there before",
		File: "strategies/redis/write.go", Text: "random := nonces(len(tags))", Replacement: `random := string(make([]byte, len(nonces(len(tags)))))`,
		By: schedule("TestStaleFillOnRedis"),
	},
	{
		Guard: "lease-token", What: "a Fill needs the lease that is out (Redis)",
		File: "strategies/redis/store.lua", Text: "if held[i] == token then", Replacement: "if not always then",
		By: schedule("TestStoppedHolder"),
	},
	{
		Guard: "delete-ends-lease", What: "Delete revokes the lease (Redis)",
		File: "strategies/redis/revocation.go", Text: "all[i].guards = append(all[i].guards, ref.lease())",
		By: schedule("TestLateFrame"),
	},
	{
		Guard: "set-ends-lease", What: "Set revokes the lease (Redis)",
		File: "strategies/redis/store.lua", Text: "if mine then gone[#gone + 1] = lease end", Replacement: "if mine and not always then gone[#gone + 1] = lease end",
		By: schedule("TestLateFrame"),
	},
	{
		Guard: "invalidate-notes-ledger", What: "an invalidation is noted in the ledger",
		File: "strategies/redis/invalidate.lua", Text: "redis.call('HSET', KEYS[1], unpack(notes))",
		By: schedule("TestLateFrame"),
	},
	{
		Guard: "ledger-bucket", What: "a Fill is refused when one of its tags was invalidated",
		File: "strategies/redis/store.lua", Text: "if at and (tonumber(at) or math.huge) > since then return false end",
		By: schedule("TestLateFrame"),
	},
	{
		Guard: "ledger-epoch", What: "a Fill is refused when its ledger was lost",
		File: "strategies/redis/store.lua", Text: "if not current or current[1] ~= epoch then return false end",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLostLedger$"}},
	},
	{
		Guard: "hide-refused-set-redis", What: "a refused Set removes the previous value (Redis)",
		File: "strategies/redis/write.go", Text: "return false, errors.Join(err, w.hide(ctx, key))", Replacement: "return false, err",
		By: []Search{{Folder: "strategies/redis", Run: "^TestStandalone$"}},
	},
}

// core are the guards of package cache.
var core = []Mutant{
	{
		Guard: "flight-admission", What: "who comes after a load began waits for another",
		File: "cache/internal/flight/flight.go", Text: "f.late = append(f.late, c)", Replacement: "f.admitted = append(f.admitted, c)",
		By: schedule("TestStaleFill"),
	},
	{
		Guard: "flight-detached", What: "who comes while a value is being stored starts another flight",
		File: "cache/load.go", Text: "\t\tl.flights.Detach(f)\n", Replacement: "",
		By: schedule("TestStaleFill"),
	},
	{
		Guard: "update-deletes", What: "an Update that cannot store deletes",
		File: "cache/load.go", Text: "\t\tif settled {\n", Replacement: "\t\tif settled || true {\n",
		By: schedule("TestUpdateRacingRevoke"),
	},
	{
		Guard: "hide-refused-set", What: "a refused Set or Fill removes the previous value",
		File: "cache/store_entries.go", Text: "errors.Join(refusal, s.delete(ctx, s.options().MaxTTL, physical))", Replacement: "refusal",
		By: schedule("TestRefusedSet"),
	},
	{
		Guard: "deadline-cancellation", What: "an operation ends at its deadline, and does not go on in the background",
		File: "cache/door_read.go", Text: "return timeoutError(ctx, timeout, operation(bounded))", Replacement: "done := make(chan error, 1)\n\tgo func() { done <- operation(context.WithoutCancel(bounded)) }()\n\tselect {\n\tcase err := <-done:\n\t\treturn timeoutError(ctx, timeout, err)\n\tcase <-bounded.Done():\n\t\treturn timeoutError(ctx, timeout, bounded.Err())\n\t}",
		By: schedule("TestLateSet"),
	},
	{
		Guard: "revocation-error", What: "a revocation that failed returns an error",
		File: "cache/door.go", Text: "\treturn &PendingError{Until: until, Err: err}", Replacement: "\t_ = until\n\treturn nil",
		By: schedule("TestOutage"),
	},
	{
		Guard: "pending-retry", What: "a revocation that failed is tried again",
		File: "cache/internal/revocation/queue.go", Text: "q.items[r] = q.items[r].merge(item{call: call, until: end})", Replacement: "_ = r",
		By: schedule("TestOutage"),
	},
	{
		Guard: "drain-before-serve", What: "no hit is served while a revocation is pending",
		File: "cache/internal/revocation/drain.go", Text: "if q.Len() == 0 {\n\t\treturn nil", Replacement: "if q.Len() >= 0 {\n\t\treturn nil",
		By: schedule("TestOutage"),
	},
	{
		Guard: "breaker-bypass", What: "revocations do not ask the circuit breaker",
		File: "cache/door.go", Text: "err := d.callWithin(ctx, timeout, apply)", Replacement: "err := d.withBreaker(ctx, apply)",
		By: schedule("TestOutage"),
	},
}

// sessions are the guards of package sessioncache.
var sessions = []Mutant{
	{
		Guard: "ttl-cap", What: "a session is stored no longer than until it expires",
		File: "sessioncache/default.go", Text: "min(d.limits.Load().ttl, r.Expires.Sub(began), r.CacheExpiry.Sub(began))",
		Replacement: "min(d.limits.Load().ttl, r.CacheExpiry.Sub(began))",
		By:          schedule("TestSessionClocks"),
	},
	{
		Guard: "soft-expiry", What: "a session is served no longer than stale_after",
		File: "sessioncache/default.go", Text: "return !session.Expired(now) && !session.Stale(now)", Replacement: "return !session.Expired(now)",
		// Where all clocks agree the storage has it no longer.
		By: []Search{{Folder: "sessioncache/sessiontest", Run: "^TestDefault$"}},
	},
	{
		Guard: "expired-session", What: "an expired session that the storage still has is not served",
		File: "sessioncache/default.go", Text: "return !session.Expired(now) && !session.Stale(now)", Replacement: "return !session.Stale(now)",
		By: schedule("TestSessionClocks"),
	},
	{
		Guard: "token-mismatch", What: "a session is not cached under another token than its own",
		File: "sessioncache/default.go", Text: "if !session.Token.IsZero() && session.Token.Reveal() != token {", Replacement: "if false {",
		By: schedule("TestSessionClocks"),
	},
	{
		Guard: "useless-renewal", What: "a renewal that is of no use is tried once within stale_after",
		File: "sessioncache/renew.go", Text: "now.Sub(at) < pause && !now.Before(at)", Replacement: "at.IsZero()",
		By: []Search{{Folder: "sessioncache", Run: "^TestUselessRenewal$"}},
	},
	{
		Guard: "too-many-tags", What: "an entry is not stored without some of its tags, because a revocation would miss it",
		File: "cache/store.go", Text: "if len(opts.Tags) > s.options().MaxTags {",
		Replacement: "if opts.Tags = opts.Tags[:min(len(opts.Tags), s.options().MaxTags)]; false {",
		By:          []Search{{Folder: "sessioncache", Run: "^TestUnstorableSessionIsNamed$"}},
	},
	{
		Guard: "one-bad-name", What: "a name that is not valid does not stop the revocation of the others",
		File: "cache/store_entries.go", Text: "if err == nil && (n > 0 || invalid == nil) {", Replacement: "if err == nil && invalid == nil {",
		By: []Search{{Folder: "cache", Run: "^TestOneBadNameStopsNoRevocation$"}},
	},
	{
		Guard: "same-fields", What: "the custom fields of a loaded session have the types that a cached one has",
		File: "sessioncache/default.go", Text: "r.CustomFields = restored(session.CustomFields)", Replacement: "r.CustomFields = session.Clone().CustomFields",
		By: []Search{{Folder: "sessioncache", Run: "^TestFieldsAreTheSameForEverybody$"}},
	},
}
