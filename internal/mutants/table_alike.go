package mutants

// alike are the guards of batches whose fills name once what entries have in common.
var alike = []Mutant{
	{
		Guard: "alike-lease", What: "entries under the leases of different requests are not alike",
		File: "strategies/redis/write.go", Text: "i.state.token == other.state.token && i.state.epoch", Replacement: "i.state.epoch",
		By: in("strategies/redis", "TestFillsOfABatchThatAreAlike"),
	},
	{
		Guard: "alike-sequence", What: "a lease does not vouch for one that was granted before it",
		File: "strategies/redis/write.go", Text: " && i.state.sequence == other.state.sequence", Replacement: "",
		By: in("strategies/redis", "TestAlikeItems"),
	},
	{
		Guard: "alike-ttl", What: "entries with different TTLs are not alike",
		File: "strategies/redis/write.go", Text: "i.ttl == other.ttl && i.fixed == other.fixed && ", Replacement: "",
		By: in("strategies/redis", "TestFillsOfABatchThatAreAlike"),
	},
	{
		Guard: "alike-tags", What: "entries with different tags are not alike",
		File: "strategies/redis/write.go", Text: " && slices.Equal(i.tags, other.tags)", Replacement: "",
		By: in("strategies/redis", "TestFillsOfABatchThatAreAlike"),
	},
	{
		Guard: "alike-own-lease", What: "of entries that are alike, each needs its own lease",
		File: "strategies/redis/store.lua", Text: "if held[i] == token then", Replacement: "if #used > 0 or held[i] == token then",
		By: in("strategies/redis", "TestFillsOfABatchThatAreAlike"),
	},
}
