package mutants

// configuration are the guards of what an operator writes by mistake, and would not notice.
var configuration = []Mutant{
	{
		Guard: "config-short-duration", What: "a duration that lacked a unit is not taken for nanoseconds",
		File: "config/scalar.go", Text: "value > 0 && value < time.Millisecond", Replacement: "value < 0 && value > time.Millisecond",
		By: []Search{{Folder: "config", Run: "^TestShortDurations$"}},
	},
	{
		Guard: "config-placeholder", What: "a placeholder that nothing has filled in is no value",
		File: "config/scalar.go", Text: "!isText || n.fromFile || !placeholder.MatchString(text)", Replacement: "!isText || n.fromFile || text != \"\"",
		By: []Search{{Folder: "config", Run: "^TestPlaceholders$"}},
	},
	{
		Guard: "config-placeholder-in-file", What: "a secret in a file may look like a placeholder",
		File: "config/scalar.go", Text: "!isText || n.fromFile || !placeholder", Replacement: "!isText || !placeholder",
		By: []Search{{Folder: "config", Run: "^TestPlaceholders$"}},
	},
	{
		Guard: "config-spoilt-file", What: "a secret's file has no blanks around the secret, no NUL and no mark",
		File: "config/secretfile.go", Text: "case spoilt(text) != \"\":", Replacement: "case false && spoilt(text) != \"\":",
		By: []Search{{Folder: "config", Run: "^TestSpoiltSecrets$"}},
	},
	{
		Guard: "config-spoilt-variable", What: "neither has a variable",
		File: "config/scalar.go", Text: "wrong != \"\" && !n.fromFile {", Replacement: "wrong == \"never\" {",
		By: []Search{{Folder: "config", Run: "^TestSpoiltSecrets$"}},
	},
	{
		Guard: "config-empty-variable", What: "an empty variable does not replace a value in silence",
		File: "config/environment.go", Text: "case v.value == \"\" &&", Replacement: "case v.value == \"never\" &&",
		By: []Search{{Folder: "config", Run: "^TestEmptyVariables$"}},
	},
	{
		Guard: "config-quoted-variable", What: "quotes around a variable are no part of a password",
		File: "config/scalar.go", Text: "&& text[len(text)-1] == text[0] {", Replacement: "&& text[len(text)-1] == 0 {",
		By: []Search{{Folder: "config", Run: "^TestMangledVariables$"}},
	},
	{
		Guard: "config-secret-path", What: "the path of a file is no password",
		File: "config/scalar.go", Text: "err == nil && !info.IsDir() && !n.fromFile {", Replacement: "err == nil && info.IsDir() && !n.fromFile {",
		By: []Search{{Folder: "config", Run: "^TestMangledVariables$"}},
	},
	{
		Guard: "config-misnamed-variable", What: "a variable with one underscore in place of two is reported",
		File: "config/source.go", Text: "if problem, ok := v.misnamed(s.schema); ok {", Replacement: "if problem, ok := v.misnamed(s.schema); ok && false {",
		By: []Search{{Folder: "config", Run: "^TestMisnamedVariables$"}},
	},
	{
		Guard: "config-variable-of-kubernetes", What: "the variables of Kubernetes are left alone",
		File: "config/environment.go", Text: "if service || len(path) < 2", Replacement: "if service && false || len(path) < 2",
		By: []Search{{Folder: "config", Run: "^TestMisnamedVariables$"}},
	},
	{
		Guard: "config-duplicate-key", What: "JSON with a key twice is refused",
		File: "config/parse.go", Text: "if known[key] {", Replacement: "if known[key] && false {",
		By: []Search{{Folder: "config", Run: "^TestFilesAsEditorsSaveThem$"}},
	},
	{
		Guard: "config-foreign-tag", What: "the tag of another tool is not taken for a value",
		File: "config/parse.go", Text: "&& tag != \"!\" {", Replacement: "&& tag == \"!\" {",
		By: []Search{{Folder: "config", Run: "^TestFilesAsEditorsSaveThem$"}},
	},
	{
		Guard: "config-validate-beside", What: "Validate does not speak of values that could not be read",
		File: "config/decode.go", Text: "if !d.concerns(n.key, reason, unread) {", Replacement: "if !d.concerns(n.key, reason, unread) || true {",
		By: []Search{{Folder: "config", Run: "^TestValidateBesideWrongTypes$"}},
	},
	{
		Guard: "config-unselected", What: "a strategy's section beside the default is not ignored",
		File: "build.go", Text: "if name != selected && source.IsSet(path+\".\"+name) {", Replacement: "if name != selected && source.IsSet(path+\".\"+name) && false {",
		By: []Search{{Folder: ".", Run: "^TestSectionsOfUnselectedStrategies$"}},
	},
	{
		Guard: "config-no-wait", What: "lock_wait: 0s is not the default",
		File: "sections.go", Text: "if s.LockWait == 0 {", Replacement: "if false {",
		By: []Search{{Folder: ".", Run: "^TestZeroes$"}},
	},
	{
		Guard: "config-empty-url", What: "an empty url does not lead to the default address",
		File: "strategies/redis/section.go", Text: "case s.urlEmpty && len(s.Addresses) == 0:", Replacement: "case false && s.urlEmpty:",
		By: []Search{{Folder: ".", Run: "^TestZeroes$"}},
	},
	{
		Guard: "config-empty-addresses", What: "empty addresses do not lead to the default one",
		File: "strategies/redis/section.go", Text: "case len(s.Addresses) == 0 && s.URL.IsZero():", Replacement: "case false && s.URL.IsZero():",
		By: []Search{{Folder: ".", Run: "^TestZeroes$"}},
	},
	{
		Guard: "config-sentinel-mode", What: "the keys of sentinels are not ignored without their mode",
		File: "strategies/redis/options.go", Text: "if given && o.Mode != Sentinel {", Replacement: "if given && o.Mode != Sentinel && false {",
		By: []Search{{Folder: ".", Run: "^TestShapes$"}},
	},
}
