// Package config reads configuration from files, the environment and code, and decodes its sections
// strictly. Anything it does not understand is an error. One error lists every problem, with the
// full path of each key and where its value came from.
//
//	source, err := config.Load(config.File("fxcache.yaml"), config.Env("FXCACHE_"))
//	options := bigcache.Options{}.WithDefaults()
//	err = source.Decode("cache.bigcache", &options)
//
// This package does not know any strategy: the owner of a section owns its Options, defaults and
// Validate method. koanf parses and merges, and decodes with mapstructure. An application's own
// *koanf.Koanf is an input as well, see [From]. This package adds what koanf and mapstructure lack:
// the origin of each value, strict reading, the nearest valid key, secrets, and one [Error].
//
// # How values are read
//
// The struct field decides how a value is read. Its `koanf:"name"` tag is the key.
// `koanf:",squash"` puts the fields of a nested struct among those of the outer one. A field
// without a tag cannot be configured.
//
//   - Text (string) is never made from a number or from true and false. YAML reads 0123 as 83 and
//     1e3 as 1000, so this package cannot know what was written. A quoted value is text, and so is
//     every value from the environment.
//   - Integers, floats and booleans are also read from text: "256", "0.5", "true".
//   - A time.Duration needs a unit: 30s, 5m, 1h30m. Only zero needs none. A positive one below a
//     millisecond is a problem, because it is a number that lacked a unit.
//   - Text with a placeholder of a template, such as ${VAR}, is a problem: nothing here fills it
//     in.
//     The tag `koanf:"name,template"` is for text that may look like that.
//   - A type with an UnmarshalText method reads text. If its underlying type is a number, it also
//     reads numbers. For example, a size may be 64MiB or 1048576.
//   - A list is also read from text, separated by commas. Spaces around the commas are dropped, and
//     empty text is the empty list. A list replaces a list. A map is merged into a map, entry by
//     entry.
//   - A section without any keys (`redis:` with nothing below it) is an empty section. A key
//     without a value (`ttl:`) is a problem, because the default may or may not have been meant.
//   - Keys in a file are exact: they are in lower case, and a dot in a key does not open a section.
//
// # Secrets
//
// A type with the methods Reveal() string and UnmarshalText is a secret. If `password` is the key
// of a secret, there is always a key `password_file` too: the path of a file that holds the secret.
// Setting both is a problem. So are blanks around a secret, a NUL and a byte order mark. The
// content of the file may look like a placeholder. Neither an error nor String shows a secret, the
// value of a key whose name looks like a secret's (password, token, dsn, …), or the password in a
// URL.
//
// A secret may stand in the wrong place, for example under a misspelt key. String therefore shows
// text only if the field has the tag `koanf:"name,public"`. In a section that was not decoded it
// shows neither text nor numbers. Errors repeat no text.
package config
