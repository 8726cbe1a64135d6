package strategies_test

import (
	"testing"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/strategies"
)

// section is what the module gives to a factory.
type section struct {
	config.Section

	source *config.Source
}

func (s section) Sibling(name string) driver.Decoder { return s.source.At("cache." + name) }

// Each name selects one strategy and names its section, so there is one factory for each.
func TestAll(t *testing.T) {
	t.Parallel()
	source, err := config.Load(config.YAML("cache: {}"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, factory := range strategies.All() {
		if factory.Name == "" || seen[factory.Name] {
			t.Errorf("the name %q is missing or taken", factory.Name)
		}
		seen[factory.Name] = true
		// Without a section of its own every strategy is built from its defaults, without any I/O.
		strategy, err := factory.New(section{source.At("cache." + factory.Name), source})
		if err != nil || strategy == nil {
			t.Errorf("%s: %T, error %v", factory.Name, strategy, err)
		}
	}
	for _, name := range []string{"bigcache", "noop", "redis", "tiered"} {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
	// The caller may change what it was given.
	strategies.All()[0].Name = "changed"
	if strategies.All()[0].Name == "changed" {
		t.Error("All hands out shared memory")
	}
}

// A strategy's own section is read strictly, and a zero that somebody wrote is no default.
func TestSections(t *testing.T) {
	t.Parallel()
	for section, valid := range map[string]bool{
		"bigcache: {max_size: 64MiB, shards: 256}":                   true,
		"bigcache: {max_invalidated_tags: 10, lease_ttl: 5s}":        true,
		"bigcache: {max_size: 0}":                                    false,
		"bigcache: {max_size: 1MiB}":                                 false,
		"bigcache: {shards: 100}":                                    false,
		"bigcache: {lease_ttl: 30}":                                  false,
		"bigcache: {maxsize: 64MiB}":                                 false,
		"noop: {}":                                                   true,
		"noop: {max_size: 64MiB}":                                    false,
		"bigcache: {max_size: 64MiB, shards: 256}\n  noop: {any: 1}": true, // each reads its own
	} {
		source, err := config.Load(config.YAML("cache:\n  " + section))
		if err != nil {
			t.Fatal(err)
		}
		for _, factory := range strategies.All() {
			if name := section[:len(factory.Name)]; name != factory.Name {
				continue
			}
			if _, err := factory.New(source.At("cache." + factory.Name)); (err == nil) != valid {
				t.Errorf("%s: error %v, want valid %t", section, err, valid)
			}
		}
	}
}
