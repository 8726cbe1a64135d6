package mutants

// inTiered are searches among the tests of strategies/tiered.
func inTiered(tests string) []Search {
	return []Search{{Folder: "strategies/tiered", Run: tests}}
}

// tiered are the guards of that strategy. Those of the connections that track what was read are
// among those of redis.
var tiered = []Mutant{
	{
		Guard: "copy-fresh", What: "no copy is served that Redis has not been heard of for longer than the lag",
		File: "strategies/tiered/copies.go", Text: "if !fresh {", Replacement: "if fresh = true; !fresh {",
		By: inTiered("^TestSchedules$"),
	},
	{
		Guard: "copy-check-first", What: "the check comes before the look",
		File: "strategies/tiered/copies.go",
		Text: "\tfeed, fresh := c.tracker.Feed(key)\n", Replacement: "\tearly, _, _ := c.store.Get(context.Background(), key)\n\tfeed, fresh := c.tracker.Feed(key)\n" +
			"\tif fresh && len(early) > feedBytes && redis.FeedID(binary.LittleEndian.Uint64(early)) == feed {\n\t\treturn early[feedBytes:], true\n\t}\n",
		By: inTiered("^TestSchedules$"),
	},
	{
		Guard: "copy-feed", What: "a copy ends with the feed that it was read over",
		File: "strategies/tiered/copies.go", Text: "redis.FeedID(binary.LittleEndian.Uint64(raw)) != feed {", Replacement: "feed == 0 {",
		By: inTiered("^TestSchedules$"),
	},
	{
		Guard: "copy-lease", What: "the lease on a copy comes before the read",
		File: "strategies/tiered/copies.go",
		Text: "\tread, err := c.tracker.Get(ctx, lease.Key, tags)\n",
		Replacement: "\tread, err := c.tracker.Get(ctx, lease.Key, tags)\n\tc.drop(lease.Key)\n\tif late, _ := c.store.Lease(ctx, lease.Key); late != nil {\n" +
			"\t\tlease = late\n\t}\n",
		By: inTiered("^TestSchedules$"),
	},
	{
		Guard: "copy-key-push", What: "a changed entry drops its copy",
		File: "strategies/tiered/copies.go", Text: "func (c *copies) KeyChanged(key string) { c.drop(key) }", Replacement: "func (c *copies) KeyChanged(string) {}",
		By: inTiered("^TestSchedules$"),
	},
	{
		Guard: "copy-tag-push", What: "a changed nonce drops the copies that have the tag",
		File: "strategies/tiered/copies.go", Text: "_ = c.store.InvalidateTags(context.Background(), tag) }", Replacement: "_ = tag }",
		By: inTiered("^TestSchedules$"),
	},
	{
		Guard: "copy-ttl", What: "a copy lives no longer than l1_ttl",
		File: "strategies/tiered/copies.go", Text: "ttl := min(c.ttl, read.TTL)", Replacement: "ttl := read.TTL",
		By: inTiered("^TestCopyTTL$"),
	},
	{
		Guard: "copy-entry-ttl", What: "nor longer than its entry",
		File: "strategies/tiered/copies.go", Text: "ttl := min(c.ttl, read.TTL)", Replacement: "ttl := c.ttl",
		By: inTiered("^TestCopyTTL$"),
	},
	{
		Guard: "copy-cache-ttl", What: "nor longer than the operator says for its cache",
		File: "strategies/tiered/copies.go", Text: "ttl = min(ttl, options.TTL)", Replacement: "_ = options",
		By: inTiered("^TestCopyTTL$"),
	},
	{
		Guard: "copy-off", What: "a cache without copies has none",
		File: "strategies/tiered/copies.go", Text: "if options.Off {", Replacement: "if false {",
		By: inTiered("^TestCopyOptions$"),
	},
	{
		Guard: "copy-own", What: "a node drops its own copies when it revokes, and what was read meanwhile",
		File: "strategies/tiered/write.go", Text: "\t\tc.drop(keys...)\n\t\tdefer c.drop(keys...)\n", Replacement: "\t\t_ = c\n",
		By: inTiered("^TestOwnRevocations$"),
	},
	{
		Guard: "copy-own-after", What: "it does so after Redis has answered too",
		File: "strategies/tiered/write.go", Text: "\t\tc.drop(keys...)\n\t\tdefer c.drop(keys...)\n", Replacement: "\t\tc.drop(keys...)\n",
		By: inTiered("^TestOwnRevocations$"),
	},
	{
		Guard: "copy-own-tags", What: "likewise for tags",
		File: "strategies/tiered/write.go", Text: "\t\tdefer c.dropTags(tags...)\n", Replacement: "",
		By: inTiered("^TestOwnRevocations$"),
	},
	{
		Guard: "copy-own-clear", What: "likewise for everything",
		File: "strategies/tiered/write.go", Text: "\t\tdefer c.clear()\n", Replacement: "",
		By: inTiered("^TestOwnRevocations$"),
	},
	{
		Guard: "copy-published", What: "the lag is declared, so that all nodes wait for it",
		File: "strategies/tiered/strategy.go", Text: "if options.Coherence == Strict {", Replacement: "if false {",
		By: inTiered("^TestNoCopiesBeforeAgreement$"),
	},
	{
		Guard: "copies-while-pending", What: "no copy is served while a revocation is pending",
		File: "cache/door_read.go", Text: "	if err = d.mayHit(ctx); err != nil {\n\t\treturn nil, false, err\n\t}\n\tkey = d.key(key)\n", Replacement: "\tkey = d.key(key)\n",
		By: []Search{{Folder: "cache", Run: "^TestNoCopiesWhilePending$"}},
	},
	{
		Guard: "previous-no-copy", What: "the value that a loader sees as the previous one is what the storage holds",
		File: "cache/previous.go", Text: "v.stored()", Replacement: "v.expected()",
		By: []Search{{Folder: "cache", Run: "^TestPreviousIsNoCopy$"}},
	},
}
