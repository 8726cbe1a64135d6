package driver

// Factory makes the strategy of one name. The module gets factories instead of strategies, so that
// only the selected strategy is built.
type Factory struct {
	// Name selects the strategy in `cache.strategy` and names its section, `cache.<name>`. It is a
	// lower case letter, followed by lower case letters, digits, '_' or '-'.
	Name string
	// New reads the strategy's own section from cfg and builds the strategy. It does no I/O and
	// starts nothing: that is for Init.
	New func(cfg Decoder) (Strategy, error)
	// FollowsSecrets: the strategy reads the files of its secrets again by itself, with Reread of a
	// [Rereader]. Another content of such a file is then no reason to build another strategy.
	FollowsSecrets bool
	// Uses are the names of other strategies whose sections New reads as well, by way of
	// [Siblings]. If one of them changes, another strategy is built, as if its own had changed.
	Uses []string
}

// Decoder gives a strategy its own section of the configuration.
type Decoder interface {
	// Decode fills dst, a pointer to a struct with `koanf` tags, from the section. It is strict: an
	// unknown key, a value of the wrong type, and whatever dst's own `Validate() error` reports are
	// errors, all of them in one. Keys that the section lacks leave dst as it was, so fill in the
	// defaults first.
	Decode(dst any) error
}

// Rereader is an optional part of a Decoder. Every Decode of one configuration sees the same
// content of a secret's file.
type Rereader interface {
	Decoder

	// Reread is Decode, but reads the files of secrets again: for a strategy that follows a
	// password that is replaced while it is in use.
	Reread(dst any) error
}

// Siblings is an optional part of a Decoder: the sections of other strategies beside that of this
// one, for a strategy that is made of others. The decoder that the module passes to New has it, for
// the names in Uses.
type Siblings interface {
	Decoder

	// Sibling returns the section of the strategy with that name. It is empty if there is none.
	Sibling(name string) Decoder
}
