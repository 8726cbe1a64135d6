package mutants

// inBigcache are searches among the tests of strategies/bigcache.
func inBigcache(tests string) []Search {
	return []Search{{Folder: "strategies/bigcache", Run: tests}}
}

// bigcache are the guards of that strategy. Those that it shares with others are in package fence.
var bigcache = []Mutant{
	{
		Guard: "hide-refused-set-bigcache", What: "a refused Set removes the previous value (bigcache)",
		File: "strategies/bigcache/store.go", Text: "return errors.Join(err, st.remove(key))", Replacement: "return err",
		By: inBigcache("^TestConformance$"),
	},
	{
		Guard: "shards-double", What: "a shard begins with memory that doubles until it is the whole shard",
		File: "strategies/bigcache/layout.go", Text: "l.initial%(2*entriesAtFirst) == 0 && l.initial/2 >= l.small; {", Replacement: "l.initial > 1000; {",
		By: inBigcache("^TestShardsDoubleUntilTheyAreWhole$"),
	},
	{
		Guard: "second-chance-delete", What: "what is deleted gets no second chance",
		File: "strategies/bigcache/store.go", Text: "\terr := st.entries.Delete(key)\n\tst.take(key)\n", Replacement: "\terr := st.entries.Delete(key)\n",
		By: inBigcache("^TestWhileItWaits$"),
	},
	{
		Guard: "second-chance-set", What: "what is overwritten gets no second chance",
		File: "strategies/bigcache/store.go", Text: "\tst.take(name)\n\tst.earn(", Replacement: "\tst.earn(",
		By: inBigcache("^TestWhileItWaits$"),
	},
	{
		Guard: "second-chance-order", What: "nor if it is evicted just before",
		File:        "strategies/bigcache/store.go",
		Text:        "\tif err := st.entries.Set(name, raw); err != nil {\n\t\treturn fmt.Errorf(\"bigcache: %w\", err)\n\t}\n\tst.take(name)\n",
		Replacement: "\tst.take(name)\n\tif err := st.entries.Set(name, raw); err != nil {\n\t\treturn fmt.Errorf(\"bigcache: %w\", err)\n\t}\n",
		By:          inBigcache("^TestEvictedJustBeforeItsSuccessor$"),
	},
	{
		Guard: "second-chance-held", What: "no write of the key comes while it gets its second chance",
		File: "internal/fence/fence.go", Text: "\ts.Lock()\n\tdefer s.Unlock()\n\twrite()\n}", Replacement: "\t_ = s\n\twrite()\n}",
		By: inBigcache("^TestDeletedDuringItsSecondChance$"),
	},
	{
		Guard: "chunk-names", What: "the chunks of two values are not mixed",
		File: "strategies/bigcache/chunks.go", Text: "st.chunkID.Add(1)", Replacement: "st.chunkID.Load()",
		By: inBigcache("^TestCrowdedRaces$"),
	},
}
