package mutants

// Several stores, and the operator's word for single caches.
var stores = []Mutant{
	{
		Guard: "outbox-store", What: "a pending revocation names its store in the outbox",
		File: "cache/internal/revocation/storage.go", Text: `place = store + "@" + place`, Replacement: `_ = store`,
		By: []Search{{Folder: ".", Run: "^TestOutboxOfSeveralStores$"}},
	},
	{
		Guard: "outbox-old-row", What: "a row that names no storage belongs to the default store alone",
		File: "cache/internal/revocation/storage.go", Text: `row.Storage == "" && s.main || place`, Replacement: `row.Storage == "" || place`,
		By: []Search{{Folder: ".", Run: "^TestOutboxOfSeveralStores$"}},
	},
	{
		Guard: "tag-everywhere", What: "a tag is invalidated in every store",
		File: "cache/service.go", Text: "running.Go(func() { failures[i] = revoke(store) })", Replacement: "if i > 0 {\n\t\t\tcontinue\n\t\t}\n\t\trunning.Go(func() { failures[i] = revoke(store) })",
		By: []Search{{Folder: ".", Run: "^TestSessionsInAStoreOfTheirOwn$"}},
	},
	{
		Guard: "pending-until-last", What: "the PendingError of several stores ends with the last of them",
		File: "cache/errors.go", Text: "pending.Until.After(last.Until)", Replacement: "pending.Until.Before(last.Until)",
		By: []Search{{Folder: "cache", Run: "^TestRevocationsOfSeveralStores$"}},
	},
	{
		Guard: "namespace-apart", What: "two stores with one namespace in one storage are refused, before Init",
		File: "cache/service.go", Text: "if one.prefix == other.prefix && one", Replacement: "if s.phase.Load() < 0 && one",
		By: []Search{{Folder: "cache", Run: "^TestStoresOfOneStorage$"}},
	},
	{
		Guard: "namespace-apart-init", What: "and after it, when the storages have told who they are",
		File: "cache/lifecycle.go", Text: "if err := s.apart(); err != nil { //", Replacement: "if err := error(nil); err != nil { //",
		By: []Search{{Folder: "cache", Run: "^TestStoresOfOneStorage$"}},
	},
	{
		Guard: "store-init-undone", What: "if one store does not start, those that did are released",
		File: "cache/lifecycle.go", Text: "errors.Join(err, undo(ctx, s.destroy)))", Replacement: "err)",
		By: []Search{{Folder: ".", Run: "^TestFailedInitOfAStore$"}},
	},
	{
		Guard: "store-order", What: "stores are destroyed in reverse order",
		File: "cache/lifecycle.go", Text: "range slices.Backward(s.stores)", Replacement: "range slices.All(s.stores)",
		By: []Search{{Folder: ".", Run: "^TestStoresStartAndStop$"}},
	},
	{
		Guard: "store-limits", What: "each strategy finds the limits of its own store",
		File: "cache/door_life.go", Text: "func(driver.Limits) driver.Limits { return limits }", Replacement: "func(l driver.Limits) driver.Limits { _ = limits; return l }",
		By: []Search{{Folder: ".", Run: "^TestStoresStartAndStop$"}},
	},
	{
		Guard: "store-option-path", What: "an error of a store's option has the path of the store, and not of the default strategy",
		File: "plan.go", Text: "case byStore && store.Name == s.name:", Replacement: "case byStore && s.name == \"\":",
		By: []Search{{Folder: ".", Run: "^TestOneNamespaceOnOneRedis$"}},
	},
	{
		Guard: "store-default-ttl", What: "a store caps the default_ttl of `cache` to its own max_ttl",
		File: "sections.go", Text: "s.DefaultTTL = min(s.DefaultTTL, s.MaxTTL)", Replacement: "s.DefaultTTL += 0",
		By: []Search{{Folder: ".", Run: "^TestStoresInherit$"}},
	},
	{
		Guard: "stores-section", What: "cache.stores that is no section is not ignored",
		File: "plan.go", Text: `if source.IsSet(cachePath + ".stores") {`, Replacement: "if false {",
		By: []Search{{Folder: ".", Run: "^TestMistakesInStores$"}},
	},
	{
		Guard: "operator-wins", What: "what the operator says about a cache wins over its code",
		File: "cache/values.go", Text: "over(v.code, options)", Replacement: "over(v.code, new(CacheOptions))",
		By: []Search{{Folder: "cache", Run: "^TestTheOperatorsWordWins$"}},
	},
	{
		Guard: "operator-caps", What: "the operator's ttl caps what TTLOf says",
		File: "cache/cache_options.go", Text: "min(code(value), *o.TTL)", Replacement: "code(value)",
		By: []Search{{Folder: "cache", Run: "^TestTheOperatorsWordWins$"}},
	},
	{
		Guard: "operator-fresh", What: "the operator cannot have a cache with Fresh serve stale values",
		File: "cache/cache_options.go", Text: "if p.Fresh == nil {", Replacement: "if true {",
		By: []Search{{Folder: "cache", Run: "^TestTheOperatorCannotServeStale$"}},
	},
	{
		Guard: "disabled-stores-nothing", What: "a disabled cache stores nothing that is set",
		File: "cache/cache.go", Text: "return ReadsThrough(ctx) || !c.named.enabled()", Replacement: "return ReadsThrough(ctx)",
		By: []Search{{Folder: "cache", Run: "^TestDisabledCache$"}},
	},
	{
		Guard: "disabled-update", What: "a disabled cache deletes what is updated",
		File: "cache/load.go", Text: "if !ReadsThrough(ctx) && l.named.enabled() {", Replacement: "if !ReadsThrough(ctx) {",
		By: []Search{{Folder: "cache", Run: "^TestDisabledCache$"}},
	},
	{
		Guard: "disabled-serves-nothing", What: "a disabled cache serves nothing that others have stored",
		File: "cache/cache.go", Text: "if !c.named.enabled() && c.store.ready() == nil {", Replacement: "if false {",
		By: []Search{{Folder: "cache", Run: "^TestDisabledCache$"}},
	},
	{
		Guard: "degraded-alone", What: "a breaker that is open, or what is pending, degrades its own store and is said of no other",
		File: "cache/health.go", Text: "if store.door().breaker.Open() {", Replacement: "if s.main().door().breaker.Open() {",
		By: []Search{{Folder: "cache", Run: "^TestStoresHaveTheirOwnLimits$"}},
	},
	{
		Guard: "session-store", What: "session_cache.store does not silently contradict cache.caches",
		File: "plan.go", Text: `if sessions.Store != "" && section.Store != "" && sessions.Store != section.Store {`, Replacement: "if false {",
		By: []Search{{Folder: ".", Run: "^TestMistakesInStores$"}},
	},
}
