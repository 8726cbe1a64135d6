package mutants

// The guards of Policy.StaleAfter, Previous and ErrNotModified.
var through = []Mutant{
	{
		Guard: "previous-after-admission", What: "the value that ErrNotModified keeps is read after the last caller was admitted",
		File:        "cache/load.go",
		Text:        "	working, end := l.flights.Begin(ctx, f)\n	replaced := newPrevious(d, l.values, f.Key, held.stale)\n",
		Replacement: "	replaced := newPrevious(d, l.values, f.Key, held.stale)\n	if replaced != nil {\n		_, _ = replaced.Previous(ctx)\n	}\n	working, end := l.flights.Begin(ctx, f)\n",
		By:          schedule("TestNotModified"),
	},
	{
		Guard: "previous-asked-for", What: "a load that never asked for the previous value cannot say that it has not changed",
		File: "cache/previous.go", Text: "	if p.given {", Replacement: "	if true {",
		By: in("cache", "TestRefreshWithoutPrevious"),
	},
	{
		Guard: "previous-of-this-load", What: "ErrNotModified of a load within is not that of the load around it",
		File: "internal/chain/previous.go", Text: " && !errors.As(err, &unfounded)", Replacement: " && !(false && errors.As(err, &unfounded))",
		By: in("cache", "TestNotModifiedWithoutPrevious"),
	},
	{
		Guard: "previous-innermost", What: "the previous value of a load is not seen by loads within it",
		File: "internal/chain/chain.go", Text: "if link := innermost(ctx); link != nil {", Replacement: "if link := From(ctx); link != nil {",
		By: in("cache", "TestPreviousBelongsToItsLoad"),
	},
	{
		Guard: "previous-ends", What: "the previous value is not kept after the load",
		File: "internal/chain/chain.go", Text: "l.carried.Store(nil)", Replacement: "_ = &l.carried",
		By: in("cache", "TestPreviousBelongsToItsLoad"),
	},
	{
		Guard: "previous-copy", What: "each call of Previous has bytes of its own",
		File: "cache/previous.go", Text: "v.decode(bytes.Clone(encoded))", Replacement: "v.decode(append(encoded[:0], encoded...))",
		By: in("cache", "TestPreviousIsACopy"),
	},
	{
		Guard: "stale-after-patience", What: "two loads that wait for each other's fresh value end",
		File: "cache/refresh.go", Text: "	case <-over:\n		return stale(last)\n", Replacement: "	case <-over:\n		<-patient.Done()\n",
		By: in("cache", "TestStaleAfterInARing"),
	},
	{
		Guard: "stale-after-elsewhere", What: "a caller that waits for the fresh value waits for the load of another process, too",
		File: "cache/refresh.go", Text: "|| l.values.policy().StaleAfter == 0 {\n		return lease, err", Replacement: "|| l.values.policy().StaleAfter >= 0 {\n		return lease, err",
		By: in("cache", "TestStaleAfterInAnotherProcess"),
	},
	{
		Guard: "stale-after-again", What: "after a wait, a caller gets what is stored then, and not what was revoked",
		File: "cache/refresh.go", Text: "	case err == nil && verdict == serveStale: // the load failed\n		return stale(value)\n",
		Replacement: "	case err == nil && verdict == serveStale:\n		return stale(value)\n	case err == nil && !found:\n		return stale(last)\n",
		By:          in("cache", "TestRevokedWhileStaleWaits"),
	},
	{
		Guard: "stale-after-error", What: "the end of the wait is no error of the storage",
		File: "cache/refresh.go", Text: "		if err != nil && ctx.Err() == nil {\n", Replacement: "		if err != nil {\n",
		By: in("cache", "TestStaleAfterOnASlowStorage"),
	},
}
