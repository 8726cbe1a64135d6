package mutants

// The guards around strategies that do not listen to their context.
var deadlines = []Mutant{
	{
		Guard: "guard-revocation", What: "a revocation is not applied while an earlier write of its entry is under way",
		File: "cache/guard.go", Text: "if len(earlier) == 0 || err", Replacement: "if true || err",
		By: []Search{{Folder: "cache", Run: "^TestLateWriteIsNoStaleEntry$"}},
	},
	{
		Guard: "guard-order", What: "a write waits for an earlier write of its entry",
		File: "cache/guard.go", Text: "earlier != nil {\n		return nil, earlier", Replacement: "false {\n		return nil, earlier",
		By: []Search{{Folder: "cache", Run: "^TestLateWriteIsNoStaleEntry$", Crash: true}},
	},
	{
		Guard: "guard-bound", What: "a strategy that hangs holds so many goroutines, and who comes then is refused at once",
		File: "cache/guard.go", Text: "if p.givenUp.Load() >= int64(cap(p.taken))", Replacement: "if false",
		By: []Search{{Folder: "cache", Run: "^TestGuardedGoroutinesAreBounded$", Crash: true}},
	},
	{
		Guard: "guard-lease", What: "a lease that is granted too late is released",
		File: "cache/guarded.go", Text: "if late && l.lease != nil", Replacement: "if false",
		By: []Search{{Folder: "cache", Run: "^TestGuardBoundsEveryOperation$"}},
	},
	{
		Guard: "guard-init", What: "an Init that succeeds too late is undone",
		File: "cache/guarded.go", Text: "		if late {\n			after()\n		}\n", Replacement: "_ = after\n",
		By: []Search{{Folder: "cache", Run: "^TestGuardBoundsEveryOperation$"}},
	},
	{
		Guard: "guard-fenced-wait", What: "a revocation by tag waits for the fills that the fence has let through",
		File: "cache/fenced.go", Text: "for _, l := range f.locks {", Replacement: "for _, l := range f.locks[:0] {",
		By: []Search{{Folder: "cache", Run: "^TestFence"}},
	},
}
