package mutants

// lease are the guards of who gets whose failure, of leases that may be out, of slow loads, and of
// TTLs that count from the read.
var lease = []Mutant{
	{
		Guard: "dead-request", What: "a load that fails after its caller left fails for that caller alone",
		File: "cache/internal/flight/flight.go", Text: "abandoned := err != nil", Replacement: "abandoned := false && err != nil",
		By: []Search{{Folder: "cache", Run: "^TestDeadRequestFailsNobodyElse$"}},
	},
	{
		Guard: "living-owner", What: "a load that begins after its caller left is another caller's",
		File: "cache/internal/flight/flight.go", Text: "if !c.left && c.ctx.Err() == nil {", Replacement: "if false {",
		By: []Search{{Folder: "cache", Run: "^TestOwnerLeavesBeforeTheLoad$"}},
	},
	{
		Guard: "dead-refresh", What: "a RefreshWith that fails after its caller left starts no back-off",
		File: "cache/refreshing/load.go", Text: "f.void = f.void || f.abandoned(ctx, err)", Replacement: "",
		By: []Search{{Folder: "cache", Run: "^TestRefreshWithOfADeadRequest$"}},
	},
	{
		Guard: "own-refresh", What: "the load of a Refreshing itself fails for all, whoever began it",
		File: "cache/refreshing/load.go", Text: "errors.Is(err, context.Canceled)", Replacement: "(errors.Is(err, context.Canceled) || true)",
		By: []Search{{Folder: "cache", Run: "^TestRefreshingFailsAfterItsCallerLeft$", Crash: true}},
	},
	{
		Guard: "ttl-from-read", What: "a TTL counts from the start of the load",
		File: "cache/source.go", Text: "left := ttl - o.age()", Replacement: "left := ttl",
		By: []Search{{Folder: "cache", Run: "^TestTTLCountsFromTheRead$"}},
	},
	{
		Guard: "stamp-from-read", What: "the TTL of an entry with StaleFor counts from the start of the load",
		File: "cache/values.go", Text: "(opts.TTL - age + time.Millisecond - 1)", Replacement: "(opts.TTL - 0*age + time.Millisecond - 1)",
		By: []Search{{Folder: "cache", Run: "^TestTTLCountsFromTheRead$"}},
	},
	{
		Guard: "latecomers-ttl", What: "who came after a read gets nothing of it that is past its TTL",
		File: "cache/values.go", Text: "if source.outlived() {", Replacement: "if false {",
		By: []Search{{Folder: "cache", Run: "^TestLatecomersAreJudged$"}},
	},
	{
		Guard: "latecomers-fresh", What: "who came after a read gets nothing of it that the policy would not serve",
		File: "cache/values.go", Text: "return fresh && err == nil", Replacement: "return fresh || !fresh || err == nil",
		By: []Search{{Folder: "cache", Run: "^TestLatecomersAreJudged$"}},
	},
	{
		Guard: "lease-extended", What: "a lease is extended while its loader runs",
		File: "cache/source.go", Text: "if lease != nil && d.features.LeaseExtender != nil {", Replacement: "if lease != nil && d.features.LeaseExtender == nil {",
		By: []Search{{Folder: "cache", Run: "^TestSlowLoadIsStored$"}},
	},
	{
		Guard: "lease-bound", What: "a lease is not extended for ever",
		File: "internal/fence/fence.go", Text: " || expires > later(l.granted, f.options.MaxLeaseTTL)",
		By: []Search{{Folder: "internal/fence", Run: "^TestExtend$"}},
	},
	{
		Guard: "lease-not-revived", What: "a lease that has expired is not extended",
		File: "internal/fence/fence.go", Text: "l.sequence != sequence || !f.live(l, now) ||", Replacement: "l.sequence != sequence ||",
		By: []Search{{Folder: "internal/fence", Run: "^TestExtend$"}},
	},
	{
		Guard: "lease-owner", What: "nobody extends somebody else's lease (Redis)",
		File: "strategies/redis/extend.lua", Text: "if typed('GET', KEYS[1]) ~= ARGV[1] then return 0 end",
		By: []Search{{Folder: "strategies/redis", Run: "^TestExtendOnRedis$"}},
	},
	{
		Guard: "ledger-extended", What: "the ledger outlives a lease that is extended (Redis)",
		File: "strategies/redis/extend.lua", Text: "redis.call('PEXPIRE', KEYS[2], ARGV[3], 'GT')",
		By: []Search{{Folder: "strategies/redis", Run: "^TestSlowLoadOnRedis$"}},
	},
	{
		Guard: "lease-bound-redis", What: "a lease is not extended for ever (Redis)",
		File: "strategies/redis/strategy.go", Text: " || time.Since(state.asked)+s.options.LeaseTTL > s.LeaseTTL()",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLeaseIsNotExtendedForEver$"}},
	},
	{
		Guard: "orphaned-request", What: "a lease whose request was not answered is released",
		File: "strategies/redis/lease.go", Text: "l.orphans.releaseLater(o.keyRef, token)",
		By: []Search{{Folder: "strategies/redis", Run: "^TestAbortedRequestsBlockNothing$"}},
	},
	{
		Guard: "orphaned-fill", What: "a lease whose fill was not answered is released",
		File: "strategies/redis/strategy.go", Text: "st.leaser.releaseLater(lease.Key, state.token) // it may not have been used up",
		By: []Search{{Folder: "strategies/redis", Run: "^TestUnansweredFillAndRelease$"}},
	},
	{
		Guard: "orphaned-release", What: "a lease whose release was not answered is released again",
		File: "strategies/redis/strategy.go", Text: "\tif err != nil {\n\t\tst.leaser.releaseLater(lease.Key, state.token)\n\t}\n",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLeasesOfAHungServer$"}},
	},
	{
		Guard: "orphan-again", What: "a lease that may be granted later is released more than once",
		File: "strategies/redis/orphan.go", Text: "if orphan.due.Before(orphan.until) {", Replacement: "if false {",
		By: []Search{{Folder: "strategies/redis", Run: "^TestOrphanIsReleasedLater$", Crash: true}}, // it may hang
	},
	{
		Guard: "orphans-bounded", What: "no more orphans than maxOrphans are remembered",
		File: "strategies/redis/orphan.go", Text: "if len(lane.waiting) >= maxOrphans {", Replacement: "if false {",
		By: []Search{{Folder: "strategies/redis", Run: "^TestOrphansAreBounded$"}},
	},
}
