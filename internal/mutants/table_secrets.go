package mutants

// attack are the tests of the shop that play its attackers.
func attack(test string) []Search { return []Search{{Folder: "app", Run: "^" + test + "$"}} }

// secrets are the guards of what must not be printed, and of what strangers can send.
var secrets = []Mutant{
	{
		Guard: "secrets-addresses", What: "an address is host:port, without a password",
		File: "strategies/redis/options.go", Text: `if reason := checkAddress(address); reason != "" {`, Replacement: `if reason := checkAddress(address); reason == "never" {`,
		By: []Search{{Folder: "strategies/redis", Run: "^TestAddresses$"}},
	},
	{
		Guard: "secrets-dial-errors", What: "an error of the network does not repeat an address that is none",
		File: "strategies/redis/errors.go", Text: "err = withoutAddress(err)", Replacement: "_ = withoutAddress",
		By: []Search{{Folder: "strategies/redis", Run: "^TestErrorsHideAddresses$"}},
	},
	{
		Guard: "secrets-url-alone", What: "a url excludes the keys that say the same",
		File: "strategies/redis/address.go", Text: "		if given {", Replacement: "		if given && false {",
		By: []Search{{Folder: "strategies/redis", Run: "^TestURL$"}},
	},
	{
		Guard: "secrets-tls-section", What: "the section tls turns TLS on, unless enabled is false",
		File: "strategies/redis/tls.go", Text: "return t != nil && (t.Enabled == nil || *t.Enabled)", Replacement: "return t != nil && *t != (TLS{})",
		By: []Search{{Folder: "strategies/redis", Run: "^TestTLSIsExplicit$"}},
	},
	{
		Guard: "secrets-inline-key", What: "a key in place of its path is refused",
		File: "strategies/redis/tls.go", Text: "return err != nil || len(der) < smallest || der[0] != sequence", Replacement: "return err != nil || len(der) < smallest || true",
		By: []Search{{Folder: "strategies/redis", Run: "^TestKeysInPlaceOfPaths$"}},
	},
	{
		Guard: "secrets-tls-files", What: "an error does not name a file of tls",
		File: "strategies/redis/tls.go", Text: "err = at.Err //", Replacement: "_ = at.Err //",
		By: []Search{{Folder: "strategies/redis", Run: "^TestKeysInPlaceOfPaths$"}},
	},
	{
		Guard: "secrets-server-words", What: "the words of a server are quoted without the user and the password",
		File: "strategies/redis/connect_error.go", Text: `if secret != "" && secret != "default" {`, Replacement: `if secret == "never" {`,
		By: []Search{{Folder: "strategies/redis", Run: "^TestWrongSettings$/^a_server_that_repeats"}},
	},
	{
		Guard: "secrets-reread", What: "a new connection uses what the file of the password holds now",
		File: "strategies/redis/credentials.go", Text: "	if reread != nil {", Replacement: "	if reread != nil && false {",
		By: []Search{{Folder: "strategies/redis", Run: "^TestPasswordRotates$"}},
	},
	{
		Guard: "secrets-last-good", What: "a file that cannot be used leaves the last password in force",
		File: "strategies/redis/credentials.go", Text: "	case !l.failing:\n", Replacement: "	case !l.failing:\n\t\tl.value = value\n",
		By: []Search{{Folder: "strategies/redis", Run: "^TestPasswordRotates$"}},
	},
	{
		Guard: "secrets-reread-tls", What: "a new connection uses the certificates that the files hold now",
		File: "strategies/redis/credentials.go", Text: "	if o.TLS.hasFiles() {", Replacement: "	if o.TLS.hasFiles() && false {",
		By: []Search{{Folder: "strategies/redis", Run: "^TestCertificatesRotate$"}},
	},
	{
		Guard: "secrets-reread-sentinel", What: "sentinels have a user and a password of their own",
		File: "strategies/redis/credentials.go", Text: "return l.sentinel\n", Replacement: "return l.data\n",
		By: []Search{{Folder: "strategies/redis", Run: "^TestSentinelPasswordRotates$"}},
	},
	{
		Guard: "secrets-undecoded", What: "of a section that nobody has decoded no text is shown",
		File: "config/source.go", Text: "s.show(reflect.ValueOf(value), key, kinds)", Replacement: "s.show(reflect.ValueOf(value), key, texts)",
		By: []Search{{Folder: "config", Run: "^TestStringRedacts$"}},
	},
	{
		Guard: "secrets-public", What: "text is shown where its owner says that it may be",
		File: "config/redact.go", Text: "if hasOption(field, \"public\") {\n\t\t\t\twithin", Replacement: "if true {\n\t\t\t\twithin",
		By: []Search{{Folder: "config", Run: "^TestStringRedacts$"}},
	},
	{
		Guard: "secrets-every-verb", What: "every verb of fmt prints a Source as String does",
		File: "config/source.go", Text: "func (s *Source) Format(", Replacement: "func (s *Source) format(",
		By: []Search{{Folder: "config", Run: "^TestEveryVerb$"}},
	},
	{
		Guard: "secrets-quoted-text", What: "an error does not repeat text that stands where it does not belong",
		File: "config/scalar.go", Text: "case kindName(n.value) == aText:\n\t\treturn \"\"", Replacement: "case kindName(n.value) == aText && text == \"\":\n\t\treturn \"\"",
		By: []Search{{Folder: "config", Run: "^TestDecodeProblems$"}},
	},
	{
		Guard: "secrets-quoted-by-types", What: "an error of a type that reads itself is not passed on where it repeats the text",
		File: "config/scalar.go", Text: " || repeats(err.Error(), text)", Replacement: "",
		By: []Search{{Folder: "config", Run: "^TestErrorsRepeatNoText$"}},
	},
	{
		Guard: "secrets-quoted-by-owners", What: "an error of Validate loses the texts of its section",
		File: "config/decode.go", Text: "redactURL(d.redactTexts(d.root, reason))", Replacement: "redactURL(reason)",
		By: []Search{{Folder: "config", Run: "^TestErrorsRepeatNoText$"}},
	},
	{
		Guard: "secrets-keys", What: "what is no key but looks like one to YAML is not shown whole",
		File: "config/merge.go", Text: "if end < 0 && len(key) <= maxShownKey {", Replacement: "if end < len(key) {",
		By: []Search{{Folder: "config", Run: "^TestDecodeProblems$"}},
	},
	{
		Guard: "secrets-panic-value", What: "a PanicError prints by no verb what there was a panic with",
		File: "cache/driver/errors.go", Text: "func (e *PanicError) Format(", Replacement: "func (e *PanicError) format(",
		By: []Search{{Folder: "cache", Run: "^TestNothingPrintsWhatItHolds$"}},
	},
	{
		Guard: "secrets-lease-key", What: "a Lease prints by no verb its key",
		File: "cache/driver/lease.go", Text: "func (l Lease) Format(", Replacement: "func (l Lease) format(",
		By: []Search{{Folder: "cache", Run: "^TestNothingPrintsWhatItHolds$"}},
	},
	{
		Guard: "typed-nil", What: "a nil pointer behind an interface counts as absent",
		File: "internal/absent/absent.go", Text: "	case reflect.Pointer, reflect.Func:\n", Replacement: "	case reflect.UnsafePointer:\n",
		By: []Search{{Folder: ".", Run: "^TestTypedNilsAreAbsent$"}},
	},
	{
		Guard: "nil-function", What: "a nil function in an option is an error that says which",
		File: "build.go", Text: "	if absent.Is(function) {", Replacement: "	if absent.Is(function) && false {",
		By: []Search{{Folder: ".", Run: "^TestNilOptions$"}},
	},
	{
		Guard: "valid-token", What: "an invalid token is not looked up, not loaded, and does not become a pending revocation",
		File: "sessioncache/default.go", Text: `return token != "" && (d.options.ValidToken == nil || d.options.ValidToken(token))`, Replacement: `return token != ""`,
		By: []Search{{Folder: "sessioncache", Run: "^TestInvalidTokens$"}},
	},
	{
		Guard: "app-token-shape", What: "the shop asks nobody about what cannot be a token",
		File: "app/internal/web/session.go", Text: "if !shop.IsToken(token) {", Replacement: "if !shop.IsToken(token) && token == \"\" {",
		By: attack("TestJunkTokensCostNothing"),
	},
	{
		Guard: "app-junk-log-out", What: "a log-out of an unknown token does not become a pending revocation",
		File: "app/internal/web/session.go", Text: "	if !known {", Replacement: "	if known = true; !known {",
		By: attack("TestJunkLogOuts"),
	},
	{
		Guard: "app-log-in-without-cache", What: "a log-in does not need the cache to end the session of before",
		File: "app/internal/web/session.go", Text: `			body["warning"] = `, Replacement: "			return err\n			body[\"warning\"] = ",
		By: attack("TestLogInWithAnOldCookie"),
	},
	{
		Guard: "app-log-in-queue", What: "few wait for their password to be hashed",
		File: "app/internal/shop/passwords.go", Text: "	default:\n		return nil, ErrBusy", Replacement: "	default:\n		_ = ErrBusy",
		By: []Search{{Folder: "app/internal/shop", Run: "^TestPasswordsTurnAway$"}},
	},
	{
		Guard: "app-abandoned-log-in", What: "a log-in whose client has gone leaves no session",
		File: "app/internal/web/session.go", Text: "	if deliver(w, r, body) {", Replacement: "	if deliver(w, r, body) || true {",
		By: attack("TestLogInWhoseClientHasGone"),
	},
	{
		Guard: "app-anonymous-session", What: "a session without a user opens nothing",
		File: "app/internal/web/session.go", Text: "if !found || session.User == nil {", Replacement: "if !found {",
		By: attack("TestAnonymousSession"),
	},
	{
		Guard: "app-log-throttle", What: "the log says the same once in ten seconds",
		File: "app/internal/web/api.go", Text: "if now.Before(last.next) {", Replacement: "if now.IsZero() {",
		By: attack("TestLogOfAFlood"),
	},
}
