package mutants

// lags are the guards of the lag that nodes agree on: how long revocations wait for the L1s of
// others, and what those may use.
var lags = []Mutant{
	{
		Guard: "lag-pause", What: "a lag is usable when every node that is active has read it",
		File: "strategies/redis/lag.go", Text: "case time.Since(a.since) < pause:", Replacement: "case false:",
		By: in("strategies/redis", "TestLagIsRaised"),
	},
	{
		Guard: "lag-first", What: "a lag is published before it is usable",
		File: "strategies/redis/lag.go", Text: `changes["lag_ms"], changes["raise"] = max(f.LagMS, declared.Milliseconds()), newName()`,
		Replacement: `changes["lag_ms"], changes["usable_ms"] = max(f.LagMS, declared.Milliseconds()), declared.Milliseconds()`,
		By:          in("strategies/redis", "TestLagIsRaised"),
	},
	{
		Guard: "lag-higher", What: "a node that wants less leaves the lag as it is",
		File: "strategies/redis/lag.go", Text: "= max(f.LagMS, declared.Milliseconds()), newName()", Replacement: "= declared.Milliseconds(), newName()",
		By: in("strategies/redis", "TestLagIsNotLowered"),
	},
	{
		Guard: "lag-name", What: "whoever raises a lag further gives it another name",
		File: "strategies/redis/lag.go", Text: "max(f.LagMS, declared.Milliseconds()), newName()", Replacement: `max(f.LagMS, declared.Milliseconds()), "name"`,
		By: in("strategies/redis", "TestLagIsRaisedAnew"),
	},
	{
		Guard: "lag-put-back-name", What: "what was put back has another name",
		File: "strategies/redis/lag.go", Text: `"usable_ms": 0, "raise": newName()`, Replacement: `"usable_ms": 0, "raise": f.Raise`,
		By: in("strategies/redis", "TestLagIsRaisedAnew"),
	},
	{
		Guard: "lag-put-back-usable", What: "nothing is usable in a fingerprint that was put back",
		File: "strategies/redis/lag.go", Text: `"usable_ms": 0, "raise"`, Replacement: `"raise"`,
		By: in("strategies/redis", "TestLagIsLost"),
	},
	{
		Guard: "lag-fallen", What: "a lag that has fallen is not believed while an L1 may go on",
		File: "strategies/redis/lag.go", Text: "f.ID != before.ID || f.lag() < before.lag()", Replacement: "f.ID != before.ID",
		By: in("strategies/redis", "TestLagIsLost"),
	},
	{
		Guard: "lag-of-another-storage", What: "the lag of another storage is not believed while an L1 may go on",
		File: "strategies/redis/lag.go", Text: "f.ID != before.ID || f.lag()", Replacement: "f.lag()",
		By: in("strategies/redis", "TestLagIsLost"),
	},
	{
		Guard: "lag-doubt", What: "an L1 goes on for as long as the longest lag",
		File: "strategies/redis/lag.go", Text: "doubt = MaxLag + MaxLag/10", Replacement: "doubt = MaxLag / 2",
		By: in("strategies/redis", "TestLagIsLost"),
	},
	{
		Guard: "lag-doubt-stays", What: "a doubt stays when the fingerprint is read again",
		File: "strategies/redis/lag.go", Text: "t.trust = before.trust", Replacement: "t.trust = time.Time{}",
		By: in("strategies/redis", "TestLagIsLost"),
	},
	{
		Guard: "lag-unknown", What: "a node that is not active waits for the longest lag",
		File: "strategies/redis/lag.go", Text: "if !a.active(now) { // the lag may have been raised since", Replacement: "if a.agreed.Load() == nil {",
		By: in("strategies/redis", "TestLagIsLost"),
	},
	{
		Guard: "lag-heartbeat-id", What: "a heartbeat that finds another storage allows nothing",
		File: "strategies/redis/lag.go", Text: " && f.ID == t.ID\n", Replacement: "\n",
		By: in("strategies/redis", "TestLagOfAHeartbeat"),
	},
	{
		Guard: "lag-heartbeat-settled", What: "a heartbeat that finds an unsettled fingerprint allows nothing",
		File: "strategies/redis/lag.go", Text: "ok && f.Settled && f.agrees(a.own)", Replacement: "ok && f.agrees(a.own)",
		By: in("strategies/redis", "TestLagOfAHeartbeat"),
	},
	{
		Guard: "lag-heartbeat-agrees", What: "a heartbeat that finds the fingerprint of others allows nothing",
		File: "strategies/redis/lag.go", Text: "ok && f.Settled && f.agrees(a.own)", Replacement: "ok && f.Settled",
		By: in("strategies/redis", "TestLagOfAHeartbeat"),
	},
	{
		Guard: "lag-heartbeat-active", What: "a heartbeat of a node that is not active allows nothing",
		File: "strategies/redis/lag.go", Text: "if t == nil || !a.active(time.Now()) {", Replacement: "if t == nil {",
		By: in("strategies/redis", "TestLagOfAHeartbeat"),
	},
	{
		Guard: "lag-heartbeat-wakes", What: "a heartbeat that finds the fingerprint lost has it put back",
		File: "strategies/redis/lag.go", Text: "if raw != t.raw {", Replacement: "if false {",
		By: in("strategies/redis", "TestLagIsLost"),
	},
	{
		Guard: "lag-refused", What: "a node whose raise is refused is active all the same",
		File: "strategies/redis/agreement.go", Text: "if now == raw || err != nil {", Replacement: "if err != nil {\n\t\t\t\treturn nil, err\n\t\t\t}\n\t\t\tif now == raw {",
		By: in("strategies/redis", "TestLagCannotBeRaised"),
	},
	{
		Guard: "nonce-written-seldom", What: "a store does not write the nonces of others (Redis)",
		File: "strategies/redis/store.lua", Text: "call('PEXPIRE', key, 2 * ttl)\n    lives[tag] = 2 * ttl", Replacement: "call('PEXPIRE', key, ttl)\n    lives[tag] = ttl",
		By: in("strategies/redis", "TestNoncesAreSeldomWritten"),
	},
	{
		Guard: "nonce-made-long", What: "a nonce is made for longer than its entry lives (Redis)",
		File: "strategies/redis/store.lua", Text: "call('SET', key, nonce, 'PX', 2 * ttl)", Replacement: "call('SET', key, nonce, 'PX', ttl)",
		By: in("strategies/redis", "TestNoncesAreSeldomWritten"),
	},
}
