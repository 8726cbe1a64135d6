package mutants

// codecs are the guards of what a codec must bring back.
var codecs = []Mutant{
	{
		Guard: "lossy-types", What: "a type whose values do not come back is refused by New",
		File: "cache/cache.go", Text: "for _, loss := range typ.Losses() {", Replacement: "for _, loss := range typ.Losses()[:0] {",
		By: []Search{{Folder: "cache", Run: "^TestNewNamesWhatIsLost$"}},
	},
	{
		Guard: "lossy-untyped", What: "a value whose type does not come back is refused by Service.Set",
		File: "cache/internal/entry/codec.go", Text: "if t.unfit != nil {", Replacement: "if false {",
		By: []Search{{Folder: "cache/codec", Run: "^TestWhatSurvives$/^json$"}},
	},
	{
		Guard: "lossy-promoted", What: "a type that encodes itself by a method of an embedded field is refused",
		File: "cache/internal/shape/promoted.go", Text: "if !to {", Replacement: "if true {",
		By: []Search{{Folder: "cache/codec", Run: "^TestWhatSurvives$/json/promoted"}},
	},
	{
		Guard: "lossy-dynamic", What: "what an interface holds is not stored if it would come back as another type",
		File: "cache/internal/shape/values.go", Text: "if !slices.Contains(c.rules.Dynamic, reflect.TypeOf(x)) {", Replacement: "if false {",
		By: []Search{{Folder: "cache/codec", Run: "^TestWhatSurvives$"}},
	},
	{
		Guard: "lossy-utf8", What: "a string that JSON would change is not stored",
		File: "cache/json.go", Text: "if err := jsonRules.CheckText(value); err != nil {", Replacement: "if err := error(nil); err != nil {",
		By: []Search{{Folder: "cache", Run: "^TestValueThatWouldChange$"}},
	},
	{
		Guard: "lossy-depth", What: "a value that is nested deeper than the codec decodes is not stored",
		File: "cache/internal/shape/values.go", Text: "if depth > c.rules.Depth {\n\t\treturn c.tooDeep()\n\t}\n\tswitch", Replacement: "switch",
		By: []Search{{Folder: "cache/codec", Run: "^TestWhatSurvives$/cbor/2,000"}},
	},
	{
		Guard: "ttlof-zero", What: "a computed TTL of zero keeps nothing",
		File: "cache/policy.go", Text: "opts.TTL = p.TTLOf(value); opts.TTL <= 0 {", Replacement: "opts.TTL = p.TTLOf(value); opts.TTL < 0 {",
		By: []Search{{Folder: "cache", Run: "^TestComputedEnd$"}},
	},
	{
		Guard: "ttl-without-unit", What: "a TTL of nanoseconds is refused",
		File: "cache/driver/limits.go", Text: "if d <= 0 || d >= time.Millisecond {", Replacement: "if true {",
		By: []Search{{Folder: "cache", Run: "^TestDurationsBelowAMillisecond$"}},
	},
}
