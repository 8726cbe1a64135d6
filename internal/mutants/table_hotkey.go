package mutants

// The guards of shared reads, of the ledger's pages, and of large values.
var hotkey = []Mutant{
	{
		Guard: "ledger-earlier", What: "a Fill looks for its tags on the page before as well",
		File: "strategies/redis/store.lua", Text: "pages = 2",
		By: []Search{{Folder: "strategies/redis", Run: "^TestOtherTagsRefuseNoFills$"}},
	},
	{
		Guard: "ledger-floor", What: "a Fill is refused when its lease is older than both pages",
		File: "strategies/redis/store.lua", Text: " or since < tonumber(earlier[3])",
		By: []Search{{Folder: "strategies/redis", Run: "^TestOtherTagsRefuseNoFills$"}},
	},
	{
		Guard: "ledger-successor", What: "a Fill is refused when the page before is not the one before",
		File: "strategies/redis/store.lua", Text: " or earlier[2] ~= page[2]",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLostPage$"}},
	},
	{
		Guard: "batch-seal", What: "a read that has been sent takes no one in",
		File: "strategies/redis/batch.go", Text: "r.open = nil",
		By: []Search{{Folder: "strategies/redis", Run: "^TestBatch$"}},
	},
	{
		Guard: "script-seal", What: "a read by the script that has been sent takes no one in",
		File: "strategies/redis/batch.go", Text: "delete(r.scripts, b.keys[0])",
		By: []Search{{Folder: "strategies/redis", Run: "^TestBatchOfTheScript$"}},
	},
	{
		Guard: "shared-bytes", What: "readers of one reply have bytes of their own",
		File: "strategies/redis/batch.go", Text: "raw = bytes.Clone(raw)", Replacement: "_ = bytes.Clone(raw)",
		By: []Search{{Folder: "strategies/redis", Run: "^TestHotKey$", Args: []string{"-test.count=10"}}},
	},
}
