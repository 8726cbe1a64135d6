package mutants

// generations are the guards of Clear on Redis.
var generations = []Mutant{
	{
		Guard: "generation-stored", What: "an entry carries the generation of its lane",
		File: "strategies/redis/write.go", Text: "all := append(make([]string, 0, 1+len(tags)), generation)", Replacement: "all := make([]string, 0, 1+len(tags))",
		By: []Search{{Folder: "strategies/redis", Run: "^TestClearIsJudgedEverywhere$"}},
	},
	{
		Guard: "generation-mget", What: "an entry is good while its generation is the same, by the one that came with it",
		File: "strategies/redis/entry.go", Text: "return err == nil && current == string(nonce)",
		Replacement: "return len(name) == 0 || err == nil && current == string(nonce)",
		By:          []Search{{Folder: "strategies/redis", Run: "^TestClearIsJudgedEverywhere$"}},
	},
	{
		Guard: "generation-script", What: "an entry is good while its generation is the same, by the script",
		File: "strategies/redis/good.lua", Text: "if typed('GET', prefix .. sub(value, at + 2, last)) ~= sub(value, last + 1, last + 16) then return false end",
		Replacement: "if last > at + 1 and typed('GET', prefix .. sub(value, at + 2, last)) ~= sub(value, last + 1, last + 16) then return false end",
		By:          []Search{{Folder: "strategies/redis", Run: "^TestClearIsJudgedEverywhere$"}},
	},
	{
		Guard: "generation-fill", What: "a Fill is refused when everything was cleared since its lease",
		File: "strategies/redis/store.lua", Text: "if at and (tonumber(at) or math.huge) > since then return false end",
		Replacement: "if i > 1 and at and (tonumber(at) or math.huge) > since then return false end",
		By:          []Search{{Folder: "strategies/redis", Run: "^TestClearRefusesLeases$"}},
	},
	{
		Guard: "generation-lost", What: "a generation that was lost is made anew at random",
		File: "strategies/redis/store.lua", Text: "nonce = ARGV[names + 3 * tag + 2]", Replacement: "nonce = tag == 0 and string.rep('g', 16) or ARGV[names + 3 * tag + 2]",
		By: []Search{{Folder: "strategies/redis", Run: "^TestLostGeneration$"}},
	},
	{
		Guard: "generation-missing", What: "an entry whose generation is missing is a miss, by the MGET",
		File: "strategies/redis/entry.go", Text: "return err == nil && current == string(nonce)",
		Replacement: "return err != nil && len(name) == 0 || err == nil && current == string(nonce)",
		By:          []Search{{Folder: "strategies/redis", Run: "^TestLostGeneration$"}},
	},
	{
		Guard: "generation-format", What: "an entry of a release without generations is a miss",
		File: "strategies/redis/entry.go", Text: "len(e) < fixedBytes || e[0] != entryFormat && e[0] != largeFormat", Replacement: "len(e) < fixedBytes || e[0] > largeFormat",
		By: []Search{{Folder: "strategies/redis", Run: "^TestEntriesOfEarlierFormats$"}},
	},
	{
		Guard: "fingerprint-format", What: "nodes with another format differ",
		File: "strategies/redis/fingerprint.go", Text: "return f.Format == g.Format && f.Lanes == g.Lanes", Replacement: "return f.Lanes == g.Lanes",
		By: []Search{{Folder: "strategies/redis", Run: "^TestFingerprintOfLaterReleases$"}},
	},
	{
		Guard: "sweep-current", What: "what was stored after Clear is not removed",
		File: "strategies/redis/sweep.lua", Text: "string.sub(head, 14) ~= generation", Replacement: "true",
		By: []Search{{Folder: "strategies/redis", Run: "^TestSweep$"}},
	},
	{
		Guard: "sweep-again", What: "what a Clear ends that comes during a sweep is removed as well",
		File: "strategies/redis/clear.go", Text: "if s.clears.CompareAndSwap(clears, 0) {", Replacement: "if s.clears.Swap(0) >= clears {",
		By: []Search{{Folder: "strategies/redis", Run: "^TestSweepAgain$"}},
	},
}
