package bigcache_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// decoder is a section of the configuration, already read.
type decoder func(*bigcache.Options) error

func (d decoder) Decode(dst any) error { return d(dst.(*bigcache.Options)) }

func TestFactory(t *testing.T) {
	t.Parallel()
	factory := bigcache.Factory()
	if factory.Name != "bigcache" || bigcache.Name != "bigcache" {
		t.Errorf("the factory is called %q", factory.Name)
	}
	// Defaults are in place before the section is read, so that what it lacks keeps them.
	strategy, err := factory.New(decoder(func(o *bigcache.Options) error {
		if *o != (bigcache.Options{}).WithDefaults() {
			t.Errorf("Decode is handed %+v, want the defaults", *o)
		}
		o.Shards = 1
		return nil
	}))
	if _, ok := strategy.(*bigcache.Strategy); !ok || err != nil {
		t.Errorf("New: %T, error %v", strategy, err)
	}
	broken := errors.New("unknown key")
	if strategy, err := factory.New(decoder(func(*bigcache.Options) error { return broken })); strategy != nil || !errors.Is(err, broken) {
		t.Errorf("New of a section that cannot be read: %T, error %v", strategy, err)
	}
	strategy, err = factory.New(decoder(func(o *bigcache.Options) error { o.Shards = 3; return nil }))
	if strategy != nil || !names(err, "shards") {
		t.Errorf("New of a section with 3 shards: %T, error %v", strategy, err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		options bigcache.Options
		wrong   string // names, separated by spaces
	}{
		{bigcache.Options{}, ""},
		{bigcache.Options{MaxSize: 2 * driver.MiB, Shards: 1, MaxInvalidatedTags: 1, LeaseTTL: time.Millisecond}, ""},
		{bigcache.Options{LeaseTTL: 30}, "lease_ttl"},
		{bigcache.Options{Shards: 1 << 16}, ""},
		{bigcache.Options{MaxSize: 2*driver.MiB - 1}, "max_size"},
		{bigcache.Options{MaxSize: -1}, "max_size"},
		{bigcache.Options{Shards: 3}, "shards"},
		{bigcache.Options{Shards: -2}, "shards"},
		{bigcache.Options{Shards: 1 << 17}, "shards"},
		{bigcache.Options{MaxInvalidatedTags: -1}, "max_invalidated_tags"},
		{bigcache.Options{LeaseTTL: -time.Second}, "lease_ttl"},
		{bigcache.Options{MaxSize: 1, Shards: 5, MaxInvalidatedTags: -1, LeaseTTL: -1}, "max_size shards max_invalidated_tags lease_ttl"},
	} {
		_, err := bigcache.New(test.options)
		if !names(err, strings.Fields(test.wrong)...) {
			t.Errorf("New(%+v): %v; want problems with %q", test.options, err, test.wrong)
		}
	}
	// Zero means the default in Go, but a zero that somebody wrote into a file is a mistake: the
	// decoder asks Validate about what it read.
	if err := (bigcache.Options{}).Validate(); !names(err, "max_size", "shards", "max_invalidated_tags", "lease_ttl") {
		t.Errorf("Validate of zero options: %v", err)
	}
}

// names reports whether err consists of OptionErrors about exactly those options.
func names(err error, options ...string) bool {
	var got []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, part := range joined.Unwrap() {
			var option *driver.OptionError
			if !errors.As(part, &option) || option.Reason == "" {
				return false
			}
			got = append(got, option.Name)
		}
	} else if err != nil {
		return false
	}
	return slices.Equal(got, options)
}
