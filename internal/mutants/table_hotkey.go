package mutants

// The guards of shared reads, of the ledger's pages, and of large values.
var hotkey = []Mutant{
	{
		Guard: "ledger-earlier", What: "a Fill looks for its tags on the page before as well",
		File: "strategies/redis/store.lua", Text: "count = 2",
		By: []Search{{Folder: "strategies/redis", Run: "^TestOtherTagsRefuseNoFills$"}},
	},
	{
		Guard: "ledger-floor", What: "a Fill is refused when its lease is older than both pages",
		File: "strategies/redis/store.lua", Text: "if since < (tonumber(earlier[2]) or math.huge) then return false end",
		By: []Search{{Folder: "strategies/redis", Run: "^TestOtherTagsRefuseNoFills$"}},
	},
	{
		Guard: "shared-read-seal", What: "a shared read that has been sent takes no further read in",
		File: "strategies/redis/coalesce.go", Text: "c.pending = nil",
		By: []Search{{Folder: "strategies/redis", Run: "^TestBatch$"}},
	},
	{
		Guard: "script-seal", What: "a read by the script that has been sent takes no one in",
		File: "strategies/redis/coalesce.go", Text: "delete(c.scripts, s.keys[0])",
		By: []Search{{Folder: "strategies/redis", Run: "^TestBatchOfTheScript$"}},
	},
	{
		Guard: "shared-bytes", What: "readers of one reply have bytes of their own",
		File: "strategies/redis/coalesce.go", Text: "raw = bytes.Clone(raw)", Replacement: "_ = bytes.Clone(raw)",
		By: []Search{{Folder: "strategies/redis", Run: "^TestHotKey$", Args: []string{"-test.count=10"}}},
	},
	{
		Guard: "body-name", What: "a body is that of its entry",
		File: "strategies/redis/bodies.go", Text: " || string(f.body[:nonceBytes]) != name",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLargeValues$"}},
	},
	{
		Guard: "body-there", What: "an entry is stored when its body is there",
		File: "strategies/redis/store.lua", Text: "if typed('GETRANGE', body, 0, 15) == name then", Replacement: "if true then",
		By: []Search{{Folder: "strategies/redis", Run: "^TestOvertakenBody$"}},
	},
	{
		Guard: "body-deleted", What: "Delete removes the body of a large value",
		File: "strategies/redis/revocation.go", Text: "ref.value(), ref.body())", Replacement: "ref.value())",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLargeValues$"}},
	},
	{
		Guard: "large-place", What: "a read that waits for a large value takes up no place of the bulkhead",
		File: "strategies/redis/read.go", Text: "		o.leave()\n	}\n	return r.value", Replacement: "	}\n	return r.value",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLargeValuesTakeNoPlaces$"}},
	},
	{
		Guard: "large-connection", What: "large values have a connection of their own",
		File: "strategies/redis/bodies.go", Text: "	if !c.external {", Replacement: "	if false {",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLargeValuesHoldNothingUp$"}},
	},
	{
		Guard: "large-breaker", What: "a large value that is not transferred in time does not open the breaker",
		File: "cache/door_read.go", Text: " || errors.Is(err, driver.ErrEntryUnavailable)", Replacement: "",
		By: []Search{{Folder: "cache", Run: "^TestBreakerIgnoresWhatConcernsOneEntry$"}},
	},
	{
		Guard: "script-length", What: "the script sends no entry that is too long",
		File: "strategies/redis/get.lua", Text: "if (typed('STRLEN', KEYS[1]) or 0) > tonumber(ARGV[2]) then return 0 end",
		By: []Search{{Folder: "strategies/redis", Run: "^TestTooLargeToArrive$"}, {Folder: "strategies/redis", Run: "^TestTooLarge$"}},
	},
	{
		Guard: "drop-what-was-met", What: "of what is too large, no more is removed than what was met",
		File: "strategies/redis/drop.lua", Text: " == ARGV[2]", Replacement: " ~= false",
		By: []Search{{Folder: "strategies/redis", Run: "^TestTooLargeIsReplaced$"}},
	},
	{
		Guard: "slow-entries", What: "an entry whose MGET ran into its deadline is read by the script",
		File: "strategies/redis/read.go", Text: "			r.slow.add(o.key)",
		By: []Search{{Folder: "strategies/redis", Run: "^TestTooLargeToArrive$"}},
	},
	{
		Guard: "pipeline-bound", What: "no more than perPipeline commands are sent at once",
		File: "strategies/redis/batcher.go", Text: "slices.Chunk(commands, perPipeline)", Replacement: "slices.Chunk(commands, len(commands))",
		By: []Search{{Folder: "strategies/redis", Run: "^TestPipelineIsBounded$"}},
	},
	{
		Guard: "large-panic", What: "a panic of a lent client while a large value is stored ends nothing",
		File: "strategies/redis/batcher.go", Text: "failures[i] = protect(func() error {", Replacement: "failures[i] = func(run func() error) error { return run() }(func() error {",
		By: []Search{{Folder: "strategies/redis", Run: "^TestPanicWhileLargeValuesAreStored$", Crash: true}},
	},
}
