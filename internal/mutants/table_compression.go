package mutants

// compression are the guards of codec.Compress and of codecs by name.
var compression = []Mutant{
	{
		Guard: "compress-inflation", What: "data that decompresses to more than max_value_bytes is not decompressed",
		File: "cache/codec/compress.go", Text: "if size > uint64(max(0, limit)) {", Replacement: "if false {",
		By: []Search{{Folder: "cache/codec", Run: "^TestCompressLimit$"}},
	},
	{
		Guard: "compress-one-frame", What: "there is nothing behind the frame of a compressed value",
		File: "cache/codec/compress.go", Text: "if len(rest) != 4 {", Replacement: "if len(rest) < 4 {",
		By: []Search{{Folder: "cache/codec", Run: "^TestBombs$"}},
	},
	{
		Guard: "compress-declared", What: "a frame without the size of its content is damaged",
		File: "cache/codec/compress.go", Text: "header.Skippable || !header.HasFCS {", Replacement: "header.Skippable {",
		By: []Search{{Folder: "cache/codec", Run: "^TestBombs$"}},
	},
	{
		Guard: "compress-grows", What: "a value that does not become smaller is stored as it is",
		File: "cache/codec/compress.go", Text: "len(frame) < len(plain) {", Replacement: "len(frame) > 0 {",
		By: []Search{{Folder: "cache/codec", Run: "^TestCompressNeverGrows$"}},
	},
	{
		Guard: "compress-limit", What: "max_value_bytes limits a value before it is compressed",
		File: "cache/codec/compress.go", Text: "if driver.Size(len(plain)) > limit {", Replacement: "if false {",
		By: []Search{{Folder: "cache/codec", Run: "^TestCompressLimit$"}},
	},
	{
		Guard: "compress-limit-told", What: "a codec that compresses is told max_value_bytes when an entry is read",
		File: "cache/internal/entry/codec.go", Text: "return c.limited.UnmarshalLimited(data, target, driver.Size(c.limit.Load()))", Replacement: "return c.values.Unmarshal(data, target)",
		By: []Search{{Folder: "cache/internal/entry", Run: "^TestLimitedCodec$"}},
	},
	{
		Guard: "codec-one-name", What: "no two codecs have the same name",
		File: "codecs.go", Text: "case slices.Contains(names, name):", Replacement: "case false:",
		By: []Search{{Folder: ".", Run: "^TestCodecErrors$"}},
	},
}
