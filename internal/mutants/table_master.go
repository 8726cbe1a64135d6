package mutants

// inRedis are searches among the tests of strategies/redis.
func inRedis(tests string) []Search { return []Search{{Folder: "strategies/redis", Run: tests}} }

// master are the guards against an address that leads to another server, or to one that cannot be
// used.
var master = []Mutant{
	{
		Guard: "redis-version", What: "a server older than Redis 7 is refused",
		File: "strategies/redis/hello.go", Text: "err == nil && n < oldest", Replacement: "err == nil && n < 0",
		By: inRedis("^TestServersThatCannotBeUsed$"),
	},
	{
		Guard: "redis-mode", What: "a server in another mode than the configured one is refused",
		File: "strategies/redis/hello.go", Text: `g.mode != "" && !expected`, Replacement: `g.mode != "" && !expected && false`,
		By: inRedis("^TestServersThatCannotBeUsed$/^a_cluster$"), // rueidis panics in the others: a fake is no sentinel
	},
	{
		Guard: "replica-refused", What: "a connection to a replica is refused",
		File: "strategies/redis/hello.go", Text: `mode != Cluster && (g.role == "replica" || g.role == "slave")`,
		Replacement: `mode == ""`,
		By:          inRedis("^TestReplicaByMistake$"),
	},
	{
		Guard: "refused-left-alone", What: "a server that was refused is not dialled again for a while",
		File: "strategies/redis/failover.go", Text: "b != nil && time.Now().Before(b.until)", Replacement: "b != nil && false",
		By: inRedis("^(TestRefusedServersAreLeftAlone|TestReplicaByMistake)$"),
	},
	{
		Guard: "one-server", What: "a connection to another server ends the older ones",
		File: "strategies/redis/failover.go", Text: `moved = moved || l.run != "" && other.run != "" && l.run != other.run`,
		Replacement: "_ = moved",
		By:          inRedis("^(TestLinksLeadToOneServer|TestConnectionsFromBeforeAndAfter)$"),
	},
	{
		Guard: "unknown-server", What: "where the server is not known, a new connection makes the older ones be tried",
		File: "strategies/redis/failover.go", Text: `unsure = unsure || l.run == "" || other.run == ""`, Replacement: "_ = unsure",
		By: inRedis("^TestConnectionOfUnknownServer$"),
	},
	{
		Guard: "outdated-connection", What: "a connection that was dialled before all were ended is not used",
		File: "strategies/redis/failover.go", Text: "if l.number <= f.ended {", Replacement: "if l.number == 0 {",
		By: inRedis("^TestLinksLeadToOneServer$"),
	},
	{
		Guard: "demotion-ends-connections", What: "an answer that only a replica gives ends the connections",
		File: "strategies/redis/failover.go", Text: "\t\tc.failover.due = true\n\t\tc.failover.purge(nil)\n", Replacement: "",
		By: inRedis("^(TestPausesBetweenPurges|TestDemotedBehindItsAddress)$"),
	},
	{
		Guard: "demotion-noted", What: "an answer that only a replica gives is noticed",
		File: "strategies/redis/client.go", Text: "\tc.observeDemotion(err)\n", Replacement: "",
		By: inRedis("^(TestPausesBetweenPurges|TestLentClientOnAReplica)$"),
	},
	{
		Guard: "purge-pause", What: "connections are not ended all the time",
		File: "strategies/redis/failover.go", Text: "case now.Before(f.next):\n\t\treturn false\n", Replacement: "case now.IsZero():\n\t\treturn false\n",
		By: inRedis("^(TestPausesBetweenPurges|TestReadOnlyForEver)$"),
	},
	{
		Guard: "withheld-reads", What: "no hit is served until writes have worked",
		File: "strategies/redis/operation.go", Text: "if err := a.client.serving(o.ctx); err != nil {", Replacement: "if err := o.ctx.Err(); err != nil {",
		By: inRedis("^TestLentClientOnAReplica$"),
	},
	{
		Guard: "withheld-batches", What: "no hit of GetMany is served until writes have worked",
		File: "strategies/redis/operation.go", Text: "errors.Join(a.agreement.holds(ctx, time.Now()), a.client.serving(ctx))",
		Replacement: "errors.Join(a.agreement.holds(ctx, time.Now()), ctx.Err())",
		By:          inRedis("^TestLentClientOnAReplica$"),
	},
	{
		Guard: "settled-by-writes", What: "it is writes that end the suspicion",
		File: "strategies/redis/failover.go", Text: "settled := err == nil && !f.due", Replacement: "settled := !f.due",
		By: inRedis("^(TestPausesBetweenPurges|TestLentClientOnAReplica)$"),
	},
	{
		Guard: "connection-lifetime", What: "a connection is made anew when it is old",
		File: "strategies/redis/client.go", Text: "ConnLifetime:        o.ConnectionLifetime*9/10", Replacement: "ConnLifetime:        0*o.ConnectionLifetime*9/10 + 1000*time.Hour",
		By: inRedis("^TestConnectionLifetime$"),
	},
	{
		Guard: "hello-refused", What: "a connection on which HELLO was refused ends with an error that names the server",
		File: "strategies/redis/link.go", Text: "if text, no := hello.(refusal); no {", Replacement: "if text, no := hello.(refusal); no && false {",
		By: inRedis("^TestWrongSettings$/^wrong_password$"),
	},
}
