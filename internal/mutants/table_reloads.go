package mutants

// reloads are the guards of a change from one storage to another while several processes run.
var reloads = []Mutant{
	{
		Guard: "reload-clear", What: "what a storage holds from earlier is cleared before it is read",
		File: "cache/door_life.go", Text: "if err := d.callWithin(ctx, clearTimeout, d.clearStrategy); err != nil {", Replacement: "if err := ctx.Err(); err != nil {",
		By: backNemesis,
	},
	{
		Guard: "reload-claim", What: "the claim of an earlier change does not say that the storage is clear",
		File: "cache/door_life.go", Text: "&& claim != unknownClaim && claim != old &&", Replacement: "&& claim != unknownClaim &&",
		By: backNemesis,
	},
	{
		Guard: "reload-doubling", What: "revocations go to the old and to the new storage",
		File: "cache/handover.go", Text: "if len(ds.also) > 0 {\n\t\treturn pendingOf", Replacement: "if len(ds.also) < 0 {\n\t\treturn pendingOf",
		By: reloadNemesis,
	},
	{
		Guard: "reload-doubling-updates", What: "what Update replaces is revoked in the other storage too",
		File: "cache/store_entries.go", Text: "if s.doors.Load().only(d) {\n\t\treturn nil\n\t}\n\treturn pendingOf", Replacement: "if s.doors.Load().current == d {\n\t\treturn nil\n\t}\n\treturn pendingOf",
		By: reloadNemesis,
	},
	{
		Guard: "reload-announced", What: "the new storage is not read before every process tells it of revocations",
		File: "cache/handover.go", Text: "s.later(time.Until(next.enters), func", Replacement: "s.later(0*time.Until(next.enters), func",
		By: reloadNemesis,
	},
	{
		Guard: "reload-afterwards", What: "the old storage is told of revocations until no process reads it",
		File: "cache/handover.go", Text: "s.later(handover, func(context.Context) {\n\t\t\tfor _, d := range former", Replacement: "s.later(0*handover, func(context.Context) {\n\t\t\tfor _, d := range former",
		By: reloadNemesis,
	},
	{
		Guard: "reload-retired", What: "a storage that is out of use is not told of revocations any more",
		File: "cache/handover.go", Text: "s.change(func(ds *doors) *doors { return ds.without(d) })", Replacement: "s.change(func(ds *doors) *doors { return ds })",
		By: []Search{{Folder: ".", Run: "^TestFormerStrategyIsFreed$", Args: impatient}},
	},
	{
		Guard: "reload-same-storage", What: "other connections to the same storage lose nothing",
		File: "cache/handover.go", Text: "if next.insteadOf(ds) {", Replacement: "if next == newest {",
		By: []Search{{Folder: ".", Run: "^TestOtherConnectionsToTheSameRedis$"}},
	},
	{
		Guard: "reload-pending", What: "what is pending at a storage is pending at other connections to it",
		File: "cache/handover.go", Text: "next.pending.Adopt(newest.pending)\n\t\ts.change", Replacement: "s.change",
		By: []Search{{Folder: ".", Run: "^TestPendingMovesToOtherConnections$"}},
	},
	{
		Guard: "reload-init-panics", What: "a strategy whose Init panics in a reload is destroyed",
		File: "cache/lifecycle.go", Text: "(err error) {\n\tdefer panics.Catch(&err)\n\tnext := change.next", Replacement: "(err error) {\n\tnext := change.next",
		By: []Search{{Folder: ".", Run: "^TestInitFails$", Args: impatient}},
	},
	{
		Guard: "reload-init-path", What: "an option that only Init can check has its path in a reload too",
		File: "cache/lifecycle.go", Text: "return change.store.fail(\"start\", err)", Replacement: "return change.store.fail(\"reconfigure\", err)",
		By: []Search{{Folder: ".", Run: "^TestInitFails$", Args: impatient}},
	},
	{
		Guard: "reload-secret-again", What: "a strategy that stays follows the file of its secret after a reload too",
		File: "config/changes.go", Text: "after.knowSecret(key)", Replacement: "_ = after.knowSecret",
		By: []Search{{Folder: ".", Run: "^TestSecretAfterAnotherReload$", Args: impatient}},
	},
	{
		Guard: "reload-codec", What: "another codec is refused, and not ignored",
		File: "apply.go", Text: "if p.stores[0].options.WithDefaults().Codec.Name() != r.service.Options().Codec.Name() {", Replacement: "if r.service == nil {",
		By: []Search{{Folder: ".", Run: "^TestNeedsARestart$"}},
	},
	{
		Guard: "reload-stays", What: "a strategy about which nothing has changed is not made again",
		File: "plan.go", Text: "if p.stays(section, store) {", Replacement: "if p.stays(section, store) && p.previous == nil {",
		By: []Search{{Folder: ".", Run: "^TestInPlace$"}},
	},
}

// reloadNemesis is the plan "reload" of the checker. backNemesis is that plan with one fault: a
// storage is in use again after a while.
var (
	reloadNemesis = []Search{{Folder: "internal/checker", Run: "^TestReload$", Args: []string{"-seconds", "50", "-stop"}}}
	backNemesis   = []Search{{Folder: "internal/checker", Run: "^TestReload$", Args: []string{"-seconds", "50", "-stop", "-faults", "back after it"}}}
)
