package mutants

// values are the guards of what an entry is, and of what its loss may cost.
var values = []Mutant{
	{
		Guard: "reader-stale-after", What: "a session stored for longer than the reader's own stale_after allows is a miss",
		File: "sessioncache/default.go", Text: " &&\n\t\t!session.CacheExpiry.After(now.Add(d.limits.Load().staleAfter))",
		By: []Search{{Folder: "sessioncache", Run: "^TestReaderAppliesItsStaleAfter$"}, {Folder: "sessioncache/sessiontest", Run: "^TestDefault$"}},
	},
	{
		Guard: "use-cap", What: "a session is stored no longer than it may be served",
		File: "sessioncache/default.go", Text: ", r.CacheExpiry.Sub(began))", Replacement: ")",
		By: []Search{{Folder: "sessioncache/sessiontest", Run: "^TestDefault$"}, {Folder: "sessioncache", Run: "^TestTTLIsBoundedByUse$"}},
	},
	{
		Guard: "session-version", What: "a session of an unknown version of the encoding is left alone",
		File: "sessioncache/codec.go", Text: ": %w\", cache.ErrForeign)", Replacement: "\")",
		By: []Search{{Folder: "sessioncache", Run: "^TestUnknownVersionIsLeftAlone$"}},
	},
	{
		Guard: "one-name", What: "a second cache of a name whose type or policy differs is refused",
		File: "cache/caches.go", Text: "if taken[i] != wanted[i] {", Replacement: "if false {",
		By: []Search{{Folder: "cache", Run: "^TestOneNameOneCache$"}},
	},
	{
		Guard: "own-keys", What: "a key of Service's own is never one of a cache",
		File: "cache/store.go", Text: "return s.prefix + \":\" + key, nil", Replacement: "return s.prefix + key, nil",
		By: []Search{{Folder: "cache", Run: "^TestServiceKeysAreNoCacheKeys$"}},
	},
	{
		Guard: "fingerprint", What: "an entry of another form is a miss",
		File: "cache/internal/entry/entry.go", Text: " || !t.every && fingerprint(encoded[2:headerBytes]) != t.fingerprint", Replacement: "",
		By: []Search{{Folder: "cache", Run: "^TestReleasesShareAStorage$"}},
	},
	{
		Guard: "fingerprint-tags", What: "an entry without a tag that every entry carries by now is a miss",
		File: "cache/internal/entry/fingerprint.go", Text: "form = strconv.AppendQuote(append(form, ' '), tag)", Replacement: "_ = tag",
		By: []Search{{Folder: "cache", Run: "^TestReleasesShareAStorage$"}},
	},
	{
		Guard: "foreign-stays", What: "an entry of another form is left alone",
		File: "cache/store_entries.go", Text: "s.counters.foreign.Add(1)\n\t\treturn false", Replacement: "s.counters.foreign.Add(1)\n\t\treturn true",
		By: []Search{{Folder: "cache", Run: "^TestReleasesShareAStorage$"}},
	},
	{
		Guard: "discard-not-pending", What: "a damaged entry that cannot be deleted is not a pending revocation",
		File: "cache/door.go", Text: "d.call(ctx, func(ctx context.Context) error { return d.leaser.Delete(ctx, d.keys(keys)...) })", Replacement: "d.delete(ctx, time.Hour, keys)",
		By: []Search{{Folder: "cache", Run: "^TestDiscardIsBestEffort$"}},
	},
	{
		Guard: "discard-pause", What: "nothing is discarded on a storage that has just refused to",
		File: "cache/door.go", Text: " && time.Now().UnixNano() >= d.noDiscard.Load()", Replacement: "",
		By: []Search{{Folder: "cache", Run: "^TestDiscardIsBestEffort$"}},
	},
	{
		Guard: "discard-present", What: "nothing is discarded for a caller who has left",
		File: "cache/door.go", Text: "if ctx.Err() == nil && time", Replacement: "if time",
		By: []Search{{Folder: "cache", Run: "^TestNoDiscardAfterTheEnd$"}},
	},
	{
		Guard: "vacant-fill", What: "a fill that cannot store deletes nothing where there was nothing",
		File: "cache/lease.go", Text: "held.vacant, held.lease = true, lease", Replacement: "held.lease = lease",
		By: []Search{{Folder: "cache", Run: "^TestUnstorableFill$"}},
	},
	{
		Guard: "bad-entry", What: "a key that holds no entry is no failure of the storage",
		File: "cache/internal/breaker/breaker.go", Text: " || failure.IsBadEntry(err):", Replacement: ":",
		By: []Search{{Folder: "cache", Run: "^TestBadEntryIsNoOutage$"}},
	},
	{
		Guard: "wrong-type-read", What: "a key of another type is none of ours, for every script",
		File: "strategies/redis/typed.lua", Text: "if string.sub(reply.err, 1, 9) == 'WRONGTYPE' then return false end",
		By: []Search{{Folder: "strategies/redis", Run: "^TestWrongTypes$"}},
	},
	{
		Guard: "wrong-type-lease", What: "a lease that is of another type, or does not end, is free",
		File: "strategies/redis/lease.lua", Text: "if typed('GET', lease) and call('PTTL', lease) >= 0 then return false end",
		Replacement: "if true then return false end",
		By:          []Search{{Folder: "strategies/redis", Run: "^TestWrongTypes$"}},
	},
	{
		Guard: "lease-not-healed", What: "a lease that somebody holds stays that one's",
		File: "strategies/redis/lease.lua", Text: "if typed('GET', lease) and call('PTTL', lease) >= 0 then return false end",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLeaseIsNotHealed$"}},
	},
	{
		Guard: "ledger-anew", What: "a ledger keeps nothing of what was in its place",
		File: "strategies/redis/lease.lua", Text: "redis.call('UNLINK', KEYS[1])",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLedgerStartsAnew$"}},
	},
	{
		Guard: "wrong-type-ledger", What: "an invalidation that meets no ledger of ours ends it",
		File: "strategies/redis/invalidate.lua", Text: "redis.call('UNLINK', KEYS[1])",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLedgerStartsAnew$"}},
	},
	{
		Guard: "nonce-length", What: "a nonce that is none of ours is made anew",
		File: "strategies/redis/store.lua", Text: " or #nonce ~= 16", Replacement: "",
		By: []Search{{Folder: "strategies/redis", Run: "^TestWrongTypes$"}},
	},
	{
		Guard: "wrong-type-error", What: "an answer about the type of a key is told from one about the server",
		File: "strategies/redis/errors.go", Text: "case wrongType:\n\t\treturn driver.ErrBadEntry\n", Replacement: "",
		By: []Search{{Folder: "strategies/redis", Run: "^TestWrongTypeIsNoOutage$"}},
	},
}
