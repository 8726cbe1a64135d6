// Package config reads configuration from files, the environment and code, and decodes its sections
// strictly: whatever it does not understand is an error, and one error lists everything that is
// wrong, with the full path of each key and where its value came from.
//
//	source, err := config.Load(config.File("fxcache.yaml"), config.Env("FXCACHE_"))
//	options := bigcache.Options{}.WithDefaults()
//	err = source.Decode("cache.bigcache", &options)
//
// The package knows no strategy: who owns a section owns its Options, defaults and Validate method.
// koanf parses, merges and, with mapstructure, decodes; an application's own *koanf.Koanf comes in
// through [From]. What they have no place for is kept beside them: where each value came from, how one
// is read strictly, the nearest valid key, secrets, and the one [Error].
//
// # How values are read
//
// The struct field decides; its `koanf:"name"` tag is the key, `koanf:",squash"` puts the fields of a
// nested struct among those of the outer one, and a field without a tag is not configurable.
//
//   - Text (string) is never made from a number or from true and false: YAML has read 0123 as 83 and
//     1e3 as 1000 before this package could see what was written. In quotes, everything is text, and
//     all values from the environment are.
//   - Whole numbers, numbers, and true or false are also read from text: "256", "0.5", "true".
//   - A time.Duration needs a unit: 30s, 5m, 1h30m. Only zero may go without.
//   - A type with an UnmarshalText method reads text; one that is based on a number also reads
//     numbers, so that a size may be 64MiB or 1048576.
//   - A list is also read from text, separated by commas; spaces around the commas are dropped, and
//     empty text is the empty list. A list replaces a list. A map is merged into a map, entry by entry.
//   - A section without any keys (`redis:` with nothing below it) is an empty section. A key without a
//     value (`ttl:`) is a problem, because it cannot be told whether the default was meant.
//   - A file's keys are exact: lower case, and a dot in a key does not open a section.
//
// # Secrets
//
// A type with the methods Reveal() string and UnmarshalText is a secret. Beside the key of a secret,
// `password`, there is always `password_file`, the path of a file that holds it; to give both is a
// problem. No error and no String shows a secret, nor the value of a key that looks like one by its
// name (password, token, dsn, …), nor the password in a URL.
//
// A secret may stand where it does not belong, under a key that is misspelt for example. String shows
// text of no field but those whose owner says that everybody may read it, with the tag
// `koanf:"name,public"`, and of what nobody has decoded neither text nor numbers. Errors repeat no text.
package config
