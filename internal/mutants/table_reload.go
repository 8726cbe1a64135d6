package mutants

// impatient has a test that waits for something that does not come give up earlier.
var impatient = []string{"-patience", "8s"}

// reload are the guards of a configuration that is read again while the application runs.
var reload = []Mutant{
	{
		Guard: "reload-settle", What: "a file that is being written is not read half way",
		File: "internal/filewatch/settle.go", Text: "if again > 0 {", Replacement: "if again > 1000*s.longest {",
		By: []Search{{Folder: "internal/filewatch", Run: "^TestTruncatedWrite$"}},
	},
	{
		Guard: "reload-settle-anew", What: "each change of the content begins the wait anew",
		File: "internal/filewatch/settle.go", Text: "s.pending, s.since = content, now\n\t}\n\tagain", Replacement: "s.pending = content\n\t}\n\tagain",
		By: []Search{{Folder: "internal/filewatch", Run: "^TestTruncatedWrite$"}},
	},
	{
		Guard: "reload-longest", What: "a file that never comes to rest is read sometime",
		File: "internal/filewatch/settle.go", Text: "again = min(s.quiet-now.Sub(s.since), s.longest-now.Sub(s.began))", Replacement: "again = s.quiet - now.Sub(s.since)",
		By: []Search{{Folder: "internal/filewatch", Run: "^TestNeverSettles$"}},
	},
	{
		Guard: "reload-content", What: "a file with the same content has not changed",
		File: "internal/filewatch/settle.go", Text: "if s.any && content == s.last {", Replacement: "if s.any && content == s.last && false {",
		By: []Search{{Folder: "internal/filewatch", Run: "^TestPoll$"}},
	},
	{
		Guard: "reload-one-change", What: "changes that nobody has received are one, and nobody waits for the receiver",
		File: "internal/filewatch/watcher.go", Text: "changes: make(chan struct{}, 1)", Replacement: "changes: make(chan struct{}, 9)",
		By: []Search{{Folder: "internal/filewatch", Run: "^TestNewestOnly$"}},
	},
	{
		Guard: "reload-links", What: "the folders of the symbolic links on the way are watched",
		File: "internal/filewatch/trace.go", Text: "names = slices.Concat(way, names)", Replacement: "_ = way\n\t\treturn on",
		By: []Search{{Folder: "internal/filewatch", Run: "^TestTrace$"}},
	},
	{
		Guard: "reload-other-folder", What: "a folder that has taken the place of another is watched anew",
		File: "internal/filewatch/notices.go", Text: "&& os.SameFile(a.info, b.info)", Replacement: "",
		By: []Search{{Folder: "internal/filewatch", Run: "^TestAnotherFolderAbove$", Args: impatient}},
	},
	{
		Guard: "reload-without-notices", What: "without notifications the poll goes on, with one warning",
		File: "internal/filewatch/watcher.go", Text: "if err != nil && !warned {", Replacement: "if err != nil && (!warned || true) {",
		By: []Search{{Folder: "internal/filewatch", Run: "^TestNoNotifications$"}},
	},
	{
		Guard: "reload-pipe", What: "a pipe is not read by the watch",
		File: "internal/filewatch/content.go", Text: "case !info.Mode().IsRegular():", Replacement: "case info.Mode() == 0:",
		By: []Search{{Folder: "internal/filewatch", Run: "^TestPipe$"}},
	},
	{
		Guard: "reload-snapshot", What: "the file of a secret is read once for each Source",
		File: "config/secretfile.go", Text: "if !known {", Replacement: "if !known || true {",
		By: []Search{{Folder: "config", Run: "^TestChangesOfSecretFiles$"}},
	},
	{
		Guard: "reload-reread", What: "a strategy that follows a password reads its file again",
		File: "config/secretfile.go", Text: "if d.again {", Replacement: "if d.again && false {",
		By: []Search{{Folder: "config", Run: "^TestChangesOfSecretFiles$"}},
	},
	{
		Guard: "reload-followed", What: "a password that the strategy follows itself is no reason to build another",
		File: "config/changes.go", Text: "(follows(followed, key) || !otherSecret", Replacement: "(false && follows(followed, key) || !otherSecret",
		By: []Search{{Folder: "config", Run: "^TestChangesOfSecretFiles$"}},
	},
	{
		Guard: "reload-secret-content", What: "another content of a secret's file is a change",
		File: "config/changes.go", Text: "return err != nil || old != next", Replacement: "return err != nil && old != next",
		By: []Search{{Folder: "config", Run: "^TestChangesOfSecretFiles$"}},
	},
	{
		Guard: "reload-shown-path", What: "the path of a secret's file that cannot be read is not shown",
		File: "config/secretfile.go", Text: "if f.byPath[path].err == nil || !readable {", Replacement: "if f.byPath[path].err == nil || readable || true {",
		By: []Search{{Folder: "config", Run: "^TestInputs$"}},
	},
	{
		Guard: "reload-emptied", What: "a file that was cut off to nothing does not mean the defaults",
		File: "reload.go", Text: "if err := config.Emptied(current, next); err != nil {", Replacement: "if err := config.Emptied(next, next); err != nil {",
		By: []Search{{Folder: ".", Run: "^TestEmptiedFile$"}},
	},
	{
		Guard: "reload-validates", What: "a reload checks what a start checks",
		File: "apply.go", Text: "if err = config.Join(invalid, err); err != nil {\n\t\treturn err\n\t}\n\tsessions", Replacement: "if p == nil {\n\t\treturn err\n\t}\n\tsessions",
		By: []Search{{Folder: ".", Run: "^TestInvalidAndMended$"}},
	},
	{
		Guard: "reload-newest", What: "whoever asks while a reload is running gets the next one",
		File: "reload.go", Text: "a := r.waiting\n\t\tr.waiting = nil", Replacement: "a := r.waiting\n\t\tif a != nil {\n\t\t\tselect {\n\t\t\tcase <-a.done:\n\t\t\t\ta, r.waiting = nil, nil\n\t\t\tdefault:\n\t\t\t}\n\t\t}",
		By: []Search{{Folder: ".", Run: "^TestReloadsAreShared$"}},
	},
	{
		Guard: "reload-logged-once", What: "the same failure is logged once",
		File: "reload.go", Text: "repeated := err != nil && err.Error() == r.logged", Replacement: "repeated := err != nil && err.Error() == \"\"",
		By: []Search{{Folder: ".", Run: "^TestInvalidAndMended$"}},
	},
	{
		Guard: "reload-depends", What: "the file of a secret that was not there is watched too",
		File: "reload.go", Text: "files = append(files, source.Depends()...)", Replacement: "files = append(files, source.Files()...)",
		By: []Search{{Folder: ".", Run: "^TestWatch$", Args: impatient}},
	},
}
