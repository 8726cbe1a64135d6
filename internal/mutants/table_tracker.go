package mutants

// trackers are the guards of what may be kept in process: of which reads Redis will tell changes,
// and for how long its silence means that there were none.
var trackers = []Mutant{
	{
		Guard: "tracker-lag", What: "a feed is fresh only for the lag after a heartbeat",
		File: "strategies/redis/tracker.go", Text: "at.since(answered.sent) < agreed.lag &&", Replacement: "agreed.lag > 0 &&",
		By: inRedis("^(TestTrackerFresh|TestTrackerLateHeartbeats)$"),
	},
	{
		Guard: "tracker-agreed", What: "a feed is fresh only while the fingerprint was read recently",
		File: "strategies/redis/tracker.go", Text: "at.since(agreed.sent) < agreed.lag &&", Replacement: "agreed.lag > 0 &&",
		By: inRedis("^TestTrackerFresh$"),
	},
	{
		Guard: "tracker-over", What: "a feed that has ended is not fresh",
		File: "strategies/redis/tracker.go", Text: "!f.over.Load() && t.store", Replacement: "t.store",
		By: inRedis("^TestTrackerFresh$"),
	},
	{
		Guard: "tracker-withheld", What: "nothing is fresh while the server may not be the master",
		File: "strategies/redis/tracker.go", Text: "t.store.client.failover.withheld.Load() == nil", Replacement: "true",
		By: inRedis("^TestTrackerFresh$"),
	},
	{
		Guard: "tracker-wall-clock", What: "a machine that was suspended comes back to feeds that are not fresh",
		File: "strategies/redis/instant.go", Text: "return max(i.steady-earlier.steady, time.Duration(i.wall-earlier.wall))",
		Replacement: "return i.steady - earlier.steady",
		By:          inRedis("^TestTrackerFresh$"),
	},
	{
		Guard: "tracker-steady-clock", What: "a wall clock that is set back makes nothing fresh for longer",
		File: "strategies/redis/instant.go", Text: "return max(i.steady-earlier.steady, time.Duration(i.wall-earlier.wall))",
		Replacement: "return time.Duration(i.wall - earlier.wall)",
		By:          inRedis("^TestTrackerFresh$"),
	},
	{
		Guard: "tracker-sent", What: "a heartbeat counts from when it was sent",
		File: "strategies/redis/feed_beat.go", Text: "\th.took = now().since(h.sent)\n", Replacement: "\th.took, h.sent = now().since(h.sent), now()\n",
		By: inRedis("^TestTrackerSlowLink$"),
	},
	{
		Guard: "tracker-order", What: "an older heartbeat does not replace a newer one",
		File: "strategies/redis/feed_beat.go", Text: "was != nil && was.sent.steady >= h.sent.steady", Replacement: "was == h",
		By: inRedis("^TestTrackerLateAnswer$"),
	},
	{
		Guard: "tracker-role", What: "a heartbeat counts only if a master has answered it",
		File: "strategies/redis/feed_beat.go", Text: `err != nil || said != "master"`, Replacement: `err != nil && said != "master"`,
		By: inRedis("^TestTrackerDemotedMaster$"),
	},
	{
		Guard: "tracker-fingerprint", What: "a heartbeat counts only if the fingerprint allows a lag",
		File: "strategies/redis/feed_beat.go", Text: "return min(t.options.Lag, t.store.agreement.usableLag(raw))", Replacement: "return t.options.Lag",
		By: inRedis("^TestTrackerFingerprintLost$"),
	},
	{
		Guard: "tracker-lanes-asked", What: "a heartbeat asks a node of a Cluster for a key of its lanes",
		File: "strategies/redis/feed_beat.go", Text: "commands = append(commands, b.Exists().Key(t.store.keys.lanes[lane].ledger).Build())",
		Replacement: "_ = lane",
		By:          inRedis("^TestTrackerClusterHeartbeats$"),
	},
	{
		Guard: "tracker-moved", What: "a lane that has moved ends the feed of its old node",
		File: "strategies/redis/feed_beat.go", Text: "\t\tf.end(fmt.Errorf(\"%w: a lane has moved to another node\", driver.ErrUnavailable))\n",
		Replacement: "\t\t_, _ = fmt.Sprint(), driver.ErrUnavailable\n",
		By:          inRedis("^TestTrackerClusterMoves$"),
	},
	{
		Guard: "tracker-opt-in", What: "a read is tracked",
		File: "strategies/redis/feed_read.go", Text: "b.ClientCaching().Yes().Build(), b.Mget()", Replacement: `b.Arbitrary("PING").Build(), b.Mget()`,
		By: inRedis("^TestTracker$"),
	},
	{
		Guard: "tracker-caching-refused", What: "nothing is kept if CLIENT CACHING was refused",
		File: "strategies/redis/feed_read.go", Text: "for _, reply := range replies {", Replacement: "for _, reply := range replies[1:] {",
		By: inRedis("^TestTrackerWithoutPermission$"),
	},
	{
		Guard: "tracker-tags", What: "a copy has the tags of its entry",
		File: "strategies/redis/feed_read.go", Text: "\t\t\t\t\tnames = append(names, key)\n", Replacement: "",
		By: inRedis("^TestTracker$"),
	},
	{
		Guard: "tracker-large", What: "a large value is not kept",
		File: "strategies/redis/feed_read.go", Text: "e[0] == largeFormat || len(payload) > f.tracker.options.MaxValueBytes", Replacement: "e[0] == largeFormat",
		By: inRedis("^TestTrackerKeepsNot$"),
	},
	{
		Guard: "tracker-expired-since", What: "what has expired since it was read is not found",
		File: "strategies/redis/feed_read.go", Text: "case result.TTL <= 0:", Replacement: "case result.TTL == 0:",
		By: inRedis("^TestTrackerAfterTheReply$"),
	},
	{
		Guard: "tracker-ended-since", What: "what was read over a feed that has ended since is not kept",
		File: "strategies/redis/feed_read.go", Text: "\t\tresult.Feed = 0\n", Replacement: "",
		By: inRedis("^TestTrackerAfterTheReply$"),
	},
	{
		Guard: "tracker-proven", What: "nothing is read over a feed that has proved nothing",
		File: "strategies/redis/tracker.go", Text: "case !f.proven.Load():", Replacement: "case f.over.Load():",
		By: inRedis("^(TestTrackerRoom|TestTrackerProves)$"),
	},
	{
		Guard: "tracker-probe", What: "a feed that tells of nothing has proved nothing",
		File: "strategies/redis/feed.go", Text: "\t\treturn &refusedError{errSilent}\n", Replacement: "\t\tf.proven.Store(true)\n\t\treturn nil\n",
		By: inRedis("^TestTrackerProves$"),
	},
	{
		Guard: "tracker-not-fresh", What: "nothing is read over a feed whose heartbeats are late",
		File: "strategies/redis/tracker.go", Text: "case !t.fresh(f):", Replacement: "case f.over.Load():",
		By: inRedis("^(TestTrackerRoom|TestTrackerLateHeartbeats)$"),
	},
	{
		Guard: "tracker-slow-entry", What: "an entry that was slow before does not hold up a feed",
		File: "strategies/redis/tracker.go", Text: "case t.store.reader.slow.has(key):", Replacement: "case f.over.Load():",
		By: inRedis("^TestTrackerRoom$"),
	},
	{
		Guard: "tracker-places", What: "the reads under way on a feed are limited",
		File: "strategies/redis/feed_beat.go", Text: "f.inside.Add(1) <= f.room.Load()", Replacement: "f.inside.Add(1) > 0",
		By: inRedis("^TestTrackerRoom$"),
	},
	{
		Guard: "tracker-room", What: "a feed whose heartbeats are late gets less to do",
		File: "strategies/redis/feed_beat.go", Text: "\tif late {\n", Replacement: "\tif late && room < 0 {\n",
		By: inRedis("^TestTrackerRoom$"),
	},
	{
		Guard: "tracker-left", What: "a read keeps its place until its reply has come, though nobody waits for it",
		File: "strategies/redis/feed_read.go", Text: "f.left.Add(1) // the reply", Replacement: "f.leave() // the reply",
		By: inRedis("^TestTrackerImpatientReaders$"),
	},
	{
		Guard: "tracker-left-back", What: "the place of a read that nobody waits for is free again after its reply",
		File: "strategies/redis/feed_beat.go", Text: "f.inside.Add(-left)", Replacement: "f.inside.Add(0 * left)",
		By: inRedis("^TestTrackerImpatientReaders$"),
	},
	{
		Guard: "tracker-everything", What: "a message that everything may have changed ends the feed",
		File: "strategies/redis/feed.go", Text: "\tif messages == nil {\n\t\tf.finish()\n\t\treturn\n\t}\n", Replacement: "",
		By: inRedis("^(TestTrackerMessages|TestTrackerFeedEnds)$"),
	},
	{
		Guard: "tracker-unknown-message", What: "a message that nobody understands ends the feed",
		File: "strategies/redis/feed.go", Text: "if err != nil || !f.tell(key) {", Replacement: "if err == nil && !f.tell(key) && false {",
		By: inRedis("^TestTrackerMessages$"),
	},
	{
		Guard: "tracker-key-told", What: "a change of an entry is told",
		File: "strategies/redis/feed.go", Text: "\t\tt.listener.KeyChanged(name)\n", Replacement: "\t\t_ = name\n",
		By: inRedis("^(TestTrackerMessages|TestTracker)$"),
	},
	{
		Guard: "tracker-tag-told", What: "a change of a tag is told",
		File: "strategies/redis/feed.go", Text: "\t\tt.listener.TagChanged(key)\n", Replacement: "\t\t_ = key\n",
		By: inRedis("^(TestTrackerMessages|TestTracker)$"),
	},
	{
		Guard: "tracker-end-told", What: "the end of a feed is told",
		File: "strategies/redis/feed.go", Text: "\t\t\tf.tracker.listener.FeedEnded(f.id)\n", Replacement: "",
		By: inRedis("^(TestTrackerMessages|TestTrackerClose)$"),
	},
	{
		Guard: "tracker-one-dial", What: "a feed is one connection",
		File: "strategies/redis/feed.go", Text: "if f.dialled.Swap(true) {", Replacement: "if f.dialled.Swap(true) && false {",
		By: inRedis("^TestTrackerDialsOnce$"),
	},
	{
		Guard: "tracker-new-id", What: "each feed has an ID of its own",
		File: "strategies/redis/feed.go", Text: "f.id = FeedID(binary.BigEndian.Uint64(random[:]))", Replacement: "f.id = FeedID(1 | 0*binary.BigEndian.Uint64(random[:]))",
		By: inRedis("^(TestTrackerFeedEnds|TestTrackerDemotedMaster)$"),
	},
	{
		Guard: "tracker-lane-follows", What: "a lane is read over the feed of its master",
		File: "strategies/redis/tracker_topology.go", Text: "\t\t\tt.lanes[lane].Store(k.feed)\n", Replacement: "\t\t\tcontinue\n",
		By: inRedis("^TestTrackerClusterMoves$"),
	},
	{
		Guard: "tracker-idle", What: "there are no heartbeats while nobody asks",
		File: "strategies/redis/tracker_topology.go", Text: "} else if quiet >= idleAfter {", Replacement: "} else if quiet < 0 {",
		By: inRedis("^TestTrackerIdles$"),
	},
	{
		Guard: "tracker-lent", What: "a client that belongs to the application is not tracked",
		File: "strategies/redis/strategy.go", Text: "if st.client.external {\n\t\treturn nil, ErrLentClient", Replacement: "if st.client.external && false {\n\t\treturn nil, ErrLentClient",
		By: inRedis("^TestTrackerRefuses$"),
	},
}
