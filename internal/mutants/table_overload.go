package mutants

// overload are the guards that keep overload from becoming an outage.
var overload = []Mutant{
	{
		Guard: "breaker-lasting", What: "failures open the circuit breaker only when they have gone on for ten timeouts",
		File: "cache/internal/breaker/breaker.go", Text: " && now.Sub(b.since) >= minRun*b.options.Timeout", Replacement: "",
		By: []Search{{Folder: "cache", Run: "^TestPauseIsNoOutage$"}},
	},
	{
		Guard: "breaker-burst", What: "operations that began before the first failure count as one",
		File: "cache/internal/breaker/breaker.go", Text: "} else if !began.Before(b.since) {", Replacement: "} else {",
		By: []Search{{Folder: "cache", Run: "^TestBurstIsOneFailure$"}},
	},
	{
		Guard: "breaker-scale", What: "the more operations are under way, the more have to fail",
		File: "cache/internal/breaker/breaker.go", Text: "max(b.options.Failures, b.inside/failureShare)", Replacement: "b.options.Failures",
		By: []Search{{Folder: "cache", Run: "^TestBreakerScales$"}},
	},
	{
		Guard: "breaker-ratio", What: "a success among many failures does not end the run of them",
		File: "cache/internal/breaker/breaker.go", Text: "b.succeeded*successShare >= b.succeeded+b.failed", Replacement: "b.succeeded > 0",
		By: []Search{{Folder: "cache", Run: "^TestBreakerRatio$"}},
	},
	{
		Guard: "breaker-gradual", What: "after the pause, operations are let in as others succeed",
		File: "cache/internal/breaker/breaker.go", Text: "if b.room++; now.Sub(b.fullSince) >= b.options.Timeout {", Replacement: "if b.room++; true {",
		By: []Search{{Folder: "cache", Run: "^TestHangIsAnOutage$"}},
	},
	{
		Guard: "breaker-busy", What: "a process that did not run for a while does not take that for a failed try",
		File: "cache/internal/breaker/breaker.go", Text: "now.Sub(began) > b.options.Timeout*3/2 &&", Replacement: "false &&",
		By: []Search{{Folder: "cache", Run: "^TestBusyProcessIsNoOutage$"}},
	},
	{
		Guard: "breaker-not-begun", What: "an operation that was not begun says nothing about the storage",
		File: "cache/internal/breaker/breaker.go", Text: " || errors.Is(err, driver.ErrOverloaded)", Replacement: "",
		By: []Search{{Folder: "cache", Run: "^TestBreakerScales$"}},
	},
	{
		Guard: "load-order", What: "loads that wait for a place run in the order in which they came",
		File: "cache/admission.go", Text: "a.waiting.PushBack(admitted)", Replacement: "a.waiting.PushFront(admitted)",
		By: []Search{{Folder: "cache", Run: "^TestLoadsWaitInOrder$"}},
	},
	{
		Guard: "load-given-up", What: "a load that nobody wants any more gets no place",
		File: "cache/admission.go", Text: "a.waiting.Remove(e)\n\t\treturn true, ctx.Err()", Replacement: "_ = e\n\t\treturn true, ctx.Err()",
		By: []Search{{Folder: "cache", Run: "^TestLoadsWaitInOrder$", Crash: true}},
	},
	{
		Guard: "load-within-load", What: "a load within a load that has a place waits for none",
		File: "cache/admission.go", Text: "ok && !outer.left.Load()", Replacement: "ok && outer == nil",
		By: []Search{{Folder: "cache", Run: "^TestLoadWithinLoadNeedsNoPlace$"}},
	},
	{
		Guard: "load-reserved", What: "the loads of other caches do not take the places of sessions",
		File: "sessioncache/default.go", Text: "Reserved: true,", Replacement: "Reserved: false,",
		By: []Search{{Folder: ".", Run: "^TestSlowPagesDoNotHoldUpSessions$"}},
	},
	{
		Guard: "bulkhead-newest-first", What: "an operation that waits for a place with no time left for an answer does not come first",
		File: "strategies/redis/queue.go", Text: "time.Since(w.came) > w.deadline.Sub(w.came)/2 ||", Replacement: "w == nil ||",
		By: []Search{{Folder: "strategies/redis", Run: "^TestQueueOrder$"}},
	},
	{
		Guard: "bulkhead-halve", What: "operations that get no answer leave fewer places",
		File: "strategies/redis/bulkhead.go", Text: "b.room.Load()/2", Replacement: "b.room.Load()",
		By: []Search{{Folder: "strategies/redis", Run: "^TestRoom$"}},
	},
	{
		Guard: "bulkhead-gradual", What: "at the start and after a suspicion not all are let in at once",
		File: "strategies/redis/bulkhead.go", Text: "b.room.Store(max(min(minPlaces, b.places), b.places/8))", Replacement: "b.room.Store(b.places)",
		By: []Search{{Folder: "strategies/redis", Run: "^TestRoom$"}},
	},
	{
		Guard: "bulkhead-lasting", What: "operations of which many end together do not make the server suspect at once",
		File: "strategies/redis/bulkhead.go", Text: "silent >= maxUnanswered && lasting ||", Replacement: "silent >= maxUnanswered && (lasting || true) ||",
		By: []Search{{Folder: "strategies/redis", Run: "^TestSuspicionScales$"}},
	},
	{
		Guard: "bulkhead-too-late", What: "an operation that has waited for a suspicion to end for half of its time does not burden the server",
		File: "strategies/redis/bulkhead.go", Text: "has && time.Until(deadline) < time.Since(came)", Replacement: "has && time.Until(deadline) < 0 && came.IsZero()",
		By: []Search{{Folder: "strategies/redis", Run: "^TestSuspicionEndsTooLate$"}},
	},
	{
		Guard: "bulkhead-commands", What: "places are for commands, not for reads that share one",
		File: "strategies/redis/coalesce.go", Text: "b.leave()\n\t\tdefer b.inside.Add(1)", Replacement: "_ = b.places",
		By: []Search{{Folder: "strategies/redis", Run: "^TestNoPlaceForAReadWithoutCommand$"}},
	},
}
