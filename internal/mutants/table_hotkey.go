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
		File: "strategies/redis/store.lua", Text: "if since < (tonumber(earlier[2]) or math.huge) then return 0 end",
		By: []Search{{Folder: "strategies/redis", Run: "^TestOtherTagsRefuseNoFills$"}},
	},
	{
		Guard: "batch-seal", What: "a read that has been sent takes no one in",
		File: "strategies/redis/coalesce.go", Text: "r.pending = nil",
		By: []Search{{Folder: "strategies/redis", Run: "^TestBatch$"}},
	},
	{
		Guard: "script-seal", What: "a read by the script that has been sent takes no one in",
		File: "strategies/redis/coalesce.go", Text: "delete(r.scripts, b.keys[0])",
		By: []Search{{Folder: "strategies/redis", Run: "^TestBatchOfTheScript$"}},
	},
	{
		Guard: "shared-bytes", What: "readers of one reply have bytes of their own",
		File: "strategies/redis/coalesce.go", Text: "raw = bytes.Clone(raw)", Replacement: "_ = bytes.Clone(raw)",
		By: []Search{{Folder: "strategies/redis", Run: "^TestHotKey$", Args: []string{"-test.count=10"}}},
	},
	{
		Guard: "body-name", What: "a body is that of its entry",
		File: "strategies/redis/large.go", Text: " || string(f.body[:nonceBytes]) != name",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLargeValues$"}},
	},
	{
		Guard: "body-there", What: "an entry is stored when its body is there",
		File: "strategies/redis/store.lua", Text: "elseif typed('GETRANGE', KEYS[5], 0, 15) == ARGV[7] then", Replacement: "elseif true then",
		By: []Search{{Folder: "strategies/redis", Run: "^TestOvertakenBody$"}},
	},
	{
		Guard: "body-deleted", What: "Delete removes the body of a large value",
		File: "strategies/redis/revoke.go", Text: "ref.value(), ref.body())", Replacement: "ref.value())",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLargeValues$"}},
	},
	{
		Guard: "large-place", What: "who waits for a large value takes up no place of the gate",
		File: "strategies/redis/store.go", Text: "		o.leave()\n	}\n	return o.store.valueOf", Replacement: "	}\n	return o.store.valueOf",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLargeValuesTakeNoPlaces$"}},
	},
	{
		Guard: "large-connection", What: "large values have a connection of their own",
		File: "strategies/redis/large.go", Text: "	if !st.external {", Replacement: "	if false {",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLargeValuesHoldNothingUp$"}},
	},
	{
		Guard: "large-breaker", What: "a large value that is not transferred in time does not open the breaker",
		File: "cache/breaker.go", Text: " || errors.Is(err, ErrEntryUnavailable)",
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
		Guard: "suspects", What: "an entry whose MGET ran into its deadline is read by the script",
		File: "strategies/redis/store.go", Text: "			o.slow.add(o.key)",
		By: []Search{{Folder: "strategies/redis", Run: "^TestTooLargeToArrive$"}},
	},
}
