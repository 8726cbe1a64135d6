package mutants

// in is the search by one test of a folder.
func in(folder, test string) []Search {
	return []Search{{Folder: folder, Run: "^" + test + "$"}}
}

// flights are the guards of loads and writes that run within each other, and of ReadThrough.
var flights = []Mutant{
	{
		Guard: "chain-load", What: "a loader's context tells what it loads",
		File: "cache/load.go", Text: "value, err = l.run(working, kind, f.Key, f.Load, replaced)", Replacement: "_, _ = kind, replaced\n\tvalue, err = panics.Run(working, f.Load)",
		By: []Search{{Folder: "cache", Run: "^TestLoaderReachesItself$", Crash: true}},
	},
	{
		Guard: "chain-write", What: "a write's context tells what it writes",
		File: "cache/load.go", Text: "value, err = l.run(memo.OutsideScope(ctx), chain.Write, physical, write, nil)", Replacement: "value, err = panics.Run(memo.OutsideScope(ctx), write)",
		By: in("cache", "TestWriteReadsBack"),
	},
	{
		Guard: "chain-refresh", What: "so does the context of a load in the background",
		File: "cache/refresh.go", Text: "value, err := l.run(ctx, chain.Load, physical, load, l.values.replacing(encoded))", Replacement: "_ = encoded\n\tvalue, err := load(ctx)",
		By: in("cache", "TestRefreshReachesItself"),
	},
	{
		Guard: "chain-refresh-leaves", What: "a load in the background is not within the load that it was begun in",
		File: "cache/refresh.go", Text: "chain.Leave(memo.OutsideScope(ctx))", Replacement: "memo.OutsideScope(ctx)",
		By: in("cache", "TestRefreshWithinALoad"),
	},
	{
		Guard: "chain-refreshing", What: "so does the context of a load of a Refreshing",
		File: "cache/refreshing/load.go", Text: "ctx, link := chain.Enter(ctx, kind, r)", Replacement: "_, link := chain.Enter(ctx, kind, r)",
		By: in("cache", "TestRefreshWithReachesItself"),
	},
	{
		Guard: "chain-memo", What: "so does the context of what computes a memo",
		File: "cache/internal/memo/memo.go", Text: "ctx, link := chain.Enter(ctx, kind, id{t, key})", Replacement: "_, link := chain.Enter(ctx, kind, id{t, key})",
		By: []Search{{Folder: "cache", Run: "^TestMemoRecursion$", Crash: true}},
	},
	{
		Guard: "chain-ends", What: "a context that is kept when its load has ended is as good as any other",
		File: "internal/chain/chain.go", Text: "l.over.Store(true)", Replacement: "_ = &l.over",
		By: in("cache", "TestContextOfAnEndedLoad"),
	},
	{
		Guard: "chain-second-load", What: "a loader that writes and loads again and again is stopped",
		File: "internal/chain/chain.go", Text: "case loads > 1:", Replacement: "case loads > 5:",
		By: in("cache", "TestLoaderWritesWithoutEnd"),
	},
	{
		Guard: "nested-get", What: "Get does not find what its caller is writing",
		File: "cache/store_entries.go", Text: "if within == nil || within", Replacement: "if within == nil || true || within",
		By: in("cache", "TestWriteReadsBack"),
	},
	{
		Guard: "nested-wait", What: "who is within a load waits for another one no longer than lock_wait",
		File: "internal/chain/chain.go", Text: "if l == nil {\n\t\treturn nil", Replacement: "if true {\n\t\treturn nil",
		By: []Search{{Folder: "cache", Run: "^TestRingOfLoads$", Crash: true}},
	},
	{
		Guard: "nested-wait-once", What: "and no one within that one waits again",
		File: "internal/chain/chain.go", Text: "if l.HasWaited() {", Replacement: "if l.HasWaited() && false {",
		By: in("cache", "TestRingOfLoads"),
	},
	{
		Guard: "nested-own-load", What: "a caller whose own load runs does not run it a second time",
		File: "cache/internal/flight/flight.go", Text: "if impatient && f.owner == c {", Replacement: "if impatient && f.owner == c && false {",
		By: in("cache", "TestNestedWaitForALateFlight"),
	},
	{
		Guard: "recursion-is-ones-own", What: "a caller that reaches itself does not fail the others who wait",
		File: "cache/internal/flight/flight.go", Text: "return abandoned || errors.Is(err, chain.ErrRecursiveLoad)", Replacement: "return abandoned",
		By: in("cache", "TestRecursionIsNobodyElsesFailure"),
	},
	{
		Guard: "read-through-lease", What: "an Update within a transaction stores nothing",
		File: "cache/load.go", Text: "if !ReadsThrough(ctx) && l.named.enabled() {", Replacement: "if l.named.enabled() {",
		By: in("cache", "TestReadThroughWritesDelete"),
	},
	{
		Guard: "read-through-set", What: "nor does a Set",
		File: "cache/store_entries.go", Text: "if refusal != nil || through {", Replacement: "if refusal != nil {",
		By: in("cache", "TestReadThroughWritesDelete"),
	},
	{
		Guard: "read-through-set-many", What: "nor does a SetMany",
		File: "cache/many.go", Text: "if err != nil || !store || through {", Replacement: "if err != nil || !store || through && false {",
		By: in("cache", "TestReadThroughWritesDelete"),
	},
	{
		Guard: "read-through-load", What: "a load within a transaction runs alone, and nothing is stored or served",
		File: "internal/chain/chain.go", Text: "case innermost == Apart && transaction:", Replacement: "case innermost == Apart && transaction && false:",
		By: in("cache", "TestReadThroughStoresNothing"),
	},
	{
		Guard: "read-through-memo", What: "what a request has memoised is not used within a transaction",
		File: "cache/readthrough.go", Text: "chain.Enter(memo.OutsideScope(ctx), chain.Transaction, nil)", Replacement: "chain.Enter(ctx, chain.Transaction, nil)",
		By: in("cache", "TestReadThroughAndMemo"),
	},
	{
		Guard: "nested-renewal", What: "a session is not renewed within a write or a transaction",
		File: "sessioncache/renew.go", Text: "if chain.From(ctx) != nil {", Replacement: "if chain.From(ctx) != nil && false {",
		By: in("sessioncache", "TestNoRenewalWithinAWrite"),
	},
	{
		Guard: "hung-load", What: "a load that does not end is warned about",
		File: "cache/load.go", Text: "timer := time.AfterFunc(chain.HungAfter, func() {", Replacement: "timer := time.AfterFunc(chain.HungAfter*1000, func() {",
		By: in("cache", "TestHungLoad"),
	},
}
