package mutants

// many are the guards of GetOrLoadMany, and of leases in batches.
var many = []Mutant{
	{
		Guard: "batch-detached", What: "who comes while a batch is being stored starts another flight",
		File: "cache/many_load.go", Text: "b.Detach(flights)", Replacement: "_ = flights",
		By: schedule("TestStaleFillOfBatches"),
	},
	{
		Guard: "batch-refused-fill", What: "what was not stored goes to nobody who came after its load began",
		File: "cache/many_load.go", Text: "if p.how == stored && m.values", Replacement: "if m.values",
		By: []Search{{Folder: "cache", Run: "^TestLoadManyRacesWithRevocation$", Crash: true}},
	},
	{
		Guard: "batch-generation", What: "what was loaded while a revocation became pending is not stored",
		File: "cache/many_load.go", Text: "if m.door.outdated(generation) { // see", Replacement: "if false { // see",
		By: in("cache", "TestLoadManyAndAPendingRevocation"),
	},
	{
		Guard: "batch-lease-per-key", What: "each key of a batch is stored under its own lease",
		File: "cache/many_load.go", Text: "driver.Fill{Lease: p.lease,", Replacement: "driver.Fill{Lease: parts[0].lease,",
		By: in("cache", "TestLoadMany"),
	},
	{
		Guard: "batch-chain", What: "the context of a load of many tells what it loads",
		File: "cache/many_load.go", Text: "within, link := chain.EnterMany(ctx, kind, entries)", Replacement: "_ = entries\n\twithin, link := chain.EnterMany(ctx, kind, nil)",
		By: []Search{{Folder: "cache", Run: "^TestLoadManyWithinLoads$", Crash: true}},
	},
	{
		Guard: "batch-own-first", What: "a batch loads what it has the leases of before it waits for the others",
		File: "cache/many_load.go", Text: "\t\tm.loadFlights(ctx, b, loading)\n", Replacement: "\t\tif len(held) == 0 {\n\t\t\tm.loadFlights(ctx, b, loading)\n\t\t}\n",
		By: []Search{{Folder: "cache", Run: "^TestLoadManyWaitsForOthersLeases$", Crash: true}},
	},
	{
		Guard: "batch-release", What: "the leases of a load that failed are given up",
		File: "cache/many_load.go", Text: "\tleaseBatch{m.door}.release(context.WithoutCancel(ctx), leases)\n", Replacement: "\t_ = leases\n",
		By: in("cache", "TestLoadManyFails"),
	},
	{
		Guard: "batch-living-owner", What: "a batch whose caller left before its load began is loaded by others",
		File: "cache/internal/flight/many.go", Text: "return b.many.ctx.Err()", Replacement: "return nil",
		By: in("cache", "TestLoadManyOwnerLeavesBeforeTheLoad"),
	},
	{
		Guard: "batch-stays-one", What: "the flights that go on with the load of one caller are one batch",
		File: "cache/internal/flight/many.go", Text: "if many == nil || len(next) == 1 {", Replacement: "if true {",
		By: in("cache", "TestLoadManyOfADeadRequest"),
	},
	{
		Guard: "batch-wanted", What: "a batch goes on while somebody waits for any of its keys",
		File: "cache/internal/flight/flight.go", Text: "if b.waiting > 0 || b.cancel == nil {", Replacement: "if b.cancel == nil {",
		By: in("cache", "TestLoadManyCallerLeaves"),
	},
	{
		Guard: "batch-unwanted", What: "a batch that nobody waits for is cancelled",
		File: "cache/internal/flight/flight.go", Text: "f.batch.waiting--", Replacement: "_ = f.batch.waiting",
		By: []Search{{Folder: "cache", Run: "^TestLoadManyCallerLeaves$", Crash: true}},
	},
	{
		Guard: "batch-extended", What: "the leases of a slow batch are extended",
		File: "cache/extension.go", Text: "if extended && d.features.LeaseExtender != nil {", Replacement: "if extended && d.features.LeaseExtender == nil {",
		By: in("cache", "TestSlowLoadManyIsStored"),
	},
	{
		Guard: "batch-place", What: "a load of many takes a place while the storage fails",
		File: "cache/many_load.go", Text: "if slices.ContainsFunc(parts, func(p *part[T]) bool { return p.flight.Unleased }) {", Replacement: "if false {",
		By: in("cache", "TestLoadManyFailsOpen"),
	},
	{
		Guard: "batch-unread", What: "a batch that was not read waits for nobody's load: what it wants may be stored",
		File: "cache/internal/flight/many.go", Text: "if unread && slices.ContainsFunc(", Replacement: "if false && slices.ContainsFunc(",
		By: in("cache", "TestColdBatchBesideALoad"),
	},
	{
		Guard: "batch-unread-refresh", What: "a batch that was not read refreshes what it finds past its TTL",
		File: "cache/many_load.go", Text: "m.refresh(b.Owner(), refresh, b.Load)", Replacement: "_ = refresh",
		By: in("cache", "TestColdBatchFinds"),
	},
	{
		Guard: "batch-warm", What: "a batch that was there is followed by a plain read",
		File: "cache/many_caller.go", Text: "c.inARow.Store(0)", Replacement: "_ = n",
		By: in("cache", "TestColdBatches"),
	},
	{
		Guard: "guard-late-leases", What: "the leases of a batch that are granted too late are given up",
		File: "cache/guarded_leases.go", Text: "g.ReleaseMany(ctx, late)", Replacement: "_ = ctx",
		By: in("cache", "TestGuardBoundsEveryOperation"),
	},
	{
		Guard: "orphaned-batch", What: "the leases of a batch that nobody waits for any more are released",
		File: "strategies/redis/leases.go", Text: "if sent.Load() {", Replacement: "if false {",
		By: in("strategies/redis", "TestLateLeasesOfABatch"),
	},
	{
		Guard: "orphaned-part-of-batch", What: "so are those whose reply was lost",
		File: "strategies/redis/leases.go", Text: "if mayHaveDone(err) {\n", Replacement: "if false {\n",
		By: in("strategies/redis", "TestUnheardLeasesOfABatch"),
	},
	{
		Guard: "orphaned-fills", What: "leases whose fill in a batch was not answered are released",
		File: "strategies/redis/fills.go", Text: "l.leaser.releaseLater(fill.Lease.Key, state.token)", Replacement: "_ = state",
		By: in("strategies/redis", "TestUnansweredFillsOfABatch"),
	},
	{
		Guard: "orphaned-releases", What: "leases whose release in a batch was not answered are released again",
		File: "strategies/redis/leases.go", Text: "l.leaser.releaseLater(held[i].Key, state.token)", Replacement: "_ = state",
		By: in("strategies/redis", "TestUnansweredFillsOfABatch"),
	},
	{
		Guard: "batch-ledger-by-tag", What: "each entry of a batch is refused for its own tags (Redis)",
		File: "strategies/redis/store.lua", Text: "local at = 2 * tag + number", Replacement: "local at = number",
		By: schedule("TestBatchesOnRedis"),
	},
	{
		Guard: "batch-nonce-life", What: "a nonce lives as long as the longest entry of a batch (Redis)",
		File: "strategies/redis/store.lua", Text: "if lives[tag] < ttl then", Replacement: "if false then",
		By: in("strategies/redis", "TestNonceOfABatchLivesOn"),
	},
}
