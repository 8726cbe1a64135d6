package mutants

// agreement are the guards against nodes that do not agree, and the outbox's against paying one
// storage what is pending for another.
var agreement = []Mutant{
	{
		Guard: "fingerprint-lanes", What: "nodes with another number of lanes differ",
		File: "strategies/redis/fingerprint.go", Text: "return f.Format == g.Format && f.Lanes == g.Lanes",
		Replacement: "return f.Format == g.Format",
		By:          []Search{{Folder: "strategies/redis", Run: "^TestLanesMustAgree$"}},
	},
	{
		Guard: "fingerprint-end", What: "nobody waits for a fingerprint that is not read any more",
		File: "strategies/redis/agreement.go", Text: "\tdefer a.end()\n", Replacement: "",
		By: []Search{{Folder: "strategies/redis", Run: "^TestFingerprintAfterTheEnd$", Crash: true}},
	},
	{
		Guard: "fingerprint-reads", What: "a node that differs serves and stores nothing",
		File: "strategies/redis/operation.go", Text: "err = a.agreement.holds(o.ctx, o.began)", Replacement: "err = nil",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLanesThatDifferLater$"}},
	},
	{
		Guard: "fingerprint-revocations", What: "a revocation is not applied before it is known that the nodes agree",
		File: "strategies/redis/revoke.go", Text: "if disagreed := r.agreement.holds(ctx, time.Now()); disagreed != nil {",
		Replacement: "if disagreed := error(nil); disagreed != nil {",
		By:          []Search{{Folder: "strategies/redis", Run: "^TestFingerprintOfAnotherServer$"}},
	},
	{
		Guard: "fingerprint-pause", What: "a new fingerprint is used when every node had time to notice it",
		File: "strategies/redis/agreement.go", Text: "case began.Sub(a.since) < pause:", Replacement: "case began.Sub(a.since) < 0:",
		By: []Search{{Folder: "strategies/redis", Run: "^TestFingerprintIsMade$"}},
	},
	{
		Guard: "fingerprint-wipe", What: "what nodes with another layout left is deleted before a new fingerprint is used",
		File: "strategies/redis/agreement.go", Text: "if err := a.slot.wipe(ctx); err != nil {", Replacement: "if err := error(nil); err != nil {",
		By: []Search{{Folder: "strategies/redis", Run: "^TestFingerprintIsMade$"}},
	},
	{
		Guard: "fingerprint-lapse", What: "a node that cannot read the fingerprint is not active for longer than a new one is unsettled",
		File: "strategies/redis/agreement.go", Text: "lapse = pause - time.Second", Replacement: "lapse = 1000 * pause",
		By: []Search{{Folder: "strategies/redis", Run: "^TestFingerprintLapses$"}},
	},
	{
		Guard: "fingerprint-incumbent", What: "only a node that is active puts its fingerprint back",
		File: "strategies/redis/agreement.go", Text: `active := a.seen != "" && began.Sub(a.confirmed) < lapse`,
		Replacement: `active := a.seen != ""`,
		By:          []Search{{Folder: "strategies/redis", Run: "^TestFingerprintSchedules$", Args: []string{"-test.count=10"}}},
	},
	{
		Guard: "fingerprint-suspicion", What: "what was read before a connection was lost or made does not count after it",
		File: "strategies/redis/agreement.go", Text: "case rechecks == a.rechecks:", Replacement: "case rechecks >= 0:",
		By: []Search{{Folder: "strategies/redis", Run: "^TestFingerprintOfANewConnection$"}},
	},
	{
		Guard: "fingerprint-differed", What: "a node that differed does not take over a storage that has just lost everything",
		File: "strategies/redis/agreement.go", Text: "if a.differed {", Replacement: "if a.own.Settled {",
		// The outcome depends on which of two nodes reads first, which is random.
		By: []Search{{Folder: "strategies/redis", Run: "^TestFingerprintDiffers$", Args: []string{"-test.count=30"}}},
	},
	{
		Guard: "shared-namespace", What: "a shared storage needs a namespace of its own",
		File: "cache/store.go", Text: "Shared != nil && options.Namespace == defaultNamespace", Replacement: "Shared != nil && options.Namespace == \"\"",
		By: []Search{{Folder: "cache", Run: "^TestSharedStorageNeedsANamespace$"}},
	},
	{
		Guard: "pending-storage", What: "what is pending for one storage is not forgotten when another one has it",
		File: "cache/internal/revocation/storage.go", Text: "return id == s.id()", Replacement: "return id != \"\"",
		By: []Search{{Folder: "cache", Run: "^TestPendingRevocationNamesItsStorage$"}},
	},
	{
		Guard: "pending-place", What: "what is pending for a storage in another place is not applied here, and is reported",
		File: "cache/internal/revocation/storage.go", Text: "return row.Storage == \"\" && s.main || place == s.place || s.owns(row)", Replacement: "return row.Storage == \"\" || place != \"\" || s.owns(row)",
		By: []Search{{Folder: "cache", Run: "^TestPendingRevocationNamesItsStorage$"}},
	},
	{
		Guard: "pending-until", What: "a pending revocation leaves the outbox when it has expired, whichever storage it is for",
		File: "cache/internal/revocation/outbox.go", Text: "case !now.Before(until) || q.options.Storage.died(row):", Replacement: "case q.options.Storage.died(row):",
		By: []Search{{Folder: "cache", Run: "^TestOutboxIsBounded$"}},
	},
}
