package mutants

// The change of a storage while the application runs.
var handovers = []Mutant{
	{
		Guard: "handover-clear", What: "the new storage is cleared before its first read",
		File: "cache/door_life.go", Text: "if err := d.callWithin(ctx, clearTimeout, d.clearStrategy); err != nil {", Replacement: "if err := error(nil); err != nil {",
		By: []Search{{Folder: "cache", Run: "^TestClaims$"}, {Folder: "internal/schedules", Run: "^TestHandover$"}},
	},
	{
		Guard: "handover-claim-age", What: "a claim that was there before the announcement does not count",
		File: "cache/door_life.go", Text: "claim != old && old != unknownClaim", Replacement: "old != unknownClaim",
		By: []Search{{Folder: "cache", Run: "^TestClaims$"}},
	},
	{
		Guard: "handover-claim-unknown", What: "if it is not known what was there before, no claim counts",
		File: "cache/door_life.go", Text: "claim != old && old != unknownClaim", Replacement: "claim != old",
		By: []Search{{Folder: "cache", Run: "^TestClaims$"}},
	},
	{
		Guard: "handover-both", What: "revocations go to both storages",
		File: "cache/handover.go", Text: "return pendingOf(s.otherDoors(nil, revoke))", Replacement: "return revoke(ds.current)",
		By: []Search{{Folder: "internal/schedules", Run: "^TestHandover$"}, {Folder: "cache", Run: "^TestBothStoragesAreTold$"}},
	},
	{
		Guard: "handover-across", What: "a revocation that began before the announcement goes to the new storage too",
		File: "cache/handover.go", Text: "if s.doors.Load() == ds {", Replacement: "if true {",
		By: []Search{{Folder: "cache", Run: "^TestRevocationAcrossTheAnnouncement$"}},
	},
	{
		Guard: "handover-waits", What: "the new storage is neither read nor filled before the handover ends",
		File: "cache/handover.go", Text: "next.enters = time.Now().Add(handover)", Replacement: "next.enters = time.Now()",
		By: []Search{{Folder: "internal/schedules", Run: "^TestHandover$"}, {Folder: "cache", Run: "^TestBothStoragesAreTold$"}},
	},
	{
		Guard: "handover-told-again", What: "the old storage is told for as long again",
		File: "cache/handover.go", Text: "s.later(handover, func(context.Context) {\n\t\t\tfor", Replacement: "s.later(0, func(context.Context) {\n\t\t\tfor",
		By: []Search{{Folder: "internal/schedules", Run: "^TestHandover$"}, {Folder: "cache", Run: "^TestChangesInARow$"}},
	},
	{
		Guard: "handover-no-short-cut", What: "a change that is taken back is made all the same",
		File: "cache/door_life.go", Text: "return ds.newest() == ds.current && d.leadsTo", Replacement: "return d.leadsTo",
		By: []Search{{Folder: "cache", Run: "^TestChangesInARow$"}},
	},
	{
		Guard: "handover-order", What: "a change does not overtake an earlier one",
		File: "cache/handover.go", Text: "newest.enters.After(next.enters) {", Replacement: "false {",
		By: []Search{{Folder: "cache", Run: "^TestShorterHandover$"}},
	},
	{
		Guard: "handover-outdated", What: "what was loaded on the old storage is not stored, and not shared with who comes after the switch",
		File: "cache/door.go", Text: " || d.store.door() != d", Replacement: "",
		By: []Search{{Folder: "cache", Run: "^TestLoadAcrossTheSwitch$"}},
	},
	{
		Guard: "handover-set", What: "Set removes the entry at the other storage",
		File: "cache/store_entries.go", Text: "err = s.elsewhere(ctx, d, s.options().MaxTTL, physical)", Replacement: "err = nil",
		By: []Search{{Folder: "cache", Run: "^TestBothStoragesAreTold$"}},
	},
	{
		Guard: "handover-set-many", What: "SetMany removes the entries at the other storage",
		File: "cache/store_entries.go", Text: "if err := s.elsewhere(ctx, d, bound, replaced...); err != nil {", Replacement: "if err := ctx.Err(); err != nil {",
		By: []Search{{Folder: "cache", Run: "^TestBothStoragesAreTold$"}},
	},
	{
		Guard: "handover-update", What: "Update removes the entry at the other storage",
		File: "cache/load.go", Text: "err = l.store.elsewhere(kept, d, l.values.bound(), physical)", Replacement: "err = nil",
		By: []Search{{Folder: "cache", Run: "^TestBothStoragesAreTold$"}},
	},
	{
		Guard: "handover-same-stays", What: "what is set stays if both strategies lead to one storage",
		File: "cache/store_entries.go", Text: "if other.knows(d) {", Replacement: "if false {",
		By: []Search{{Folder: "cache", Run: "^TestSameStorage$"}},
	},
	{
		Guard: "handover-fence-told", What: "a fence is told what happens by another strategy",
		File: "cache/door_life.go", Text: " && !d.fenced && !other.fenced", Replacement: "",
		By: []Search{{Folder: "cache", Run: "^TestSameStorageFenced$"}},
	},
	{
		Guard: "handover-adopt", What: "another strategy for the same storage takes over what is pending",
		File: "cache/handover.go", Text: "next.pending.Adopt(newest.pending)", Replacement: "",
		By: []Search{{Folder: "cache", Run: "^TestSameStorage$"}},
	},
	{
		Guard: "handover-still-closed", What: "another strategy for a storage that was not cleared yet does not open it",
		File: "cache/handover.go", Text: "next.closed.Store(newest.closed.Load())", Replacement: "",
		By: []Search{{Folder: "cache", Run: "^TestNewStorageIsDown$"}},
	},
	{
		Guard: "handover-drops", What: "what is pending for a dead storage is dropped with it",
		File: "cache/handover.go", Text: "left := d.pending.Close()", Replacement: "left := d.pending.Len()",
		By: []Search{{Folder: "cache", Run: "^TestDeadOldStorage$"}},
	},
	{
		Guard: "handover-gives-up", What: "a storage that was never cleared is left alone when its turn is over",
		File: "cache/door_life.go", Text: "Jitter: true}); !d.retired.Load(); {", Replacement: "Jitter: true}); ; {",
		By: []Search{{Folder: "cache", Run: "^TestNewStorageIsDown$"}},
	},
	{
		Guard: "handover-undone", What: "if one store's Init fails, the new strategies of the others are destroyed",
		File: "cache/lifecycle.go", Text: "range changes[:i+1] {", Replacement: "range changes[:0] {",
		By: []Search{{Folder: "cache", Run: "^TestInitOfTheNewStorageFails$"}},
	},
	{
		Guard: "handover-interrupt", What: "Stop ends an Init that hangs",
		File: "cache/lifecycle.go", Text: "(*interrupt)() //", Replacement: "_ = interrupt //",
		By: []Search{{Folder: "cache", Run: "^TestStopEndsAReconfigure$", Args: []string{"-test.timeout", "10s"}, Crash: true}},
	},
	{
		Guard: "handover-max-ttl", What: "revocations stay pending for as long as entries may live that were stored under a higher max_ttl",
		File: "cache/internal/revocation/queue.go", Text: "limits{limit, max(q.limits.longest, longest), patience}", Replacement: "limits{limit, longest, patience}",
		By: []Search{{Folder: "cache", Run: "^TestLowerMaxTTL$"}},
	},
	{
		Guard: "limits-bigcache", What: "bigcache takes no limits for which its storage was not divided",
		File: "strategies/bigcache/strategy.go", Text: "if st.holds(limits) {", Replacement: "if st != nil {",
		By: []Search{{Folder: "strategies/bigcache", Run: "^TestLimiter$"}},
	},
	{
		Guard: "limits-redis", What: "Redis reads and stores by the limits in force",
		File: "strategies/redis/strategy.go", Text: "st.limits.Store(newLimits(limits))", Replacement: "_ = newLimits(limits)",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLimiter$"}},
	},
	{
		Guard: "handover-one-address", What: "an address at which another storage is now is another storage",
		File: "cache/door_life.go", Text: "return id == \"\" || its == \"\" || id == its", Replacement: "_, _ = id, its\n\treturn true",
		By: []Search{{Folder: "cache", Run: "^TestOneAddress$"}},
	},
}
