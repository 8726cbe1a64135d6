package bigcache_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// bigcache's queue refuses an entry where what it has allocated is too small and cannot grow by as
// much, so a shard that is large enough may say no. A value of any size up to max_value_bytes must
// be stored at any time, whatever came before, with the longest key and the most tags.
func TestEveryAllowedValueFits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options bigcache.Options
		service cache.Options
		rounds  int
	}{
		"the default":         {bigcache.Options{}, cache.Options{}, 300},
		"as in the README":    {bigcache.Options{MaxSize: 64 * driver.MiB, Shards: 256}, cache.Options{Namespace: "myapp"}, 300},
		"small":               {bigcache.Options{MaxSize: 4 * driver.MiB}, cache.Options{}, 300},
		"small values":        {bigcache.Options{MaxSize: 2 * driver.MiB}, cache.Options{MaxValueBytes: 2 * driver.KiB}, 3000},
		"one shard":           {bigcache.Options{MaxSize: 16 * driver.MiB, Shards: 1}, cache.Options{}, 300},
		"a quarter of it all": {bigcache.Options{MaxSize: 8 * driver.MiB, Shards: 1}, cache.Options{MaxValueBytes: 2 * driver.MiB}, 200},
		"long namespace": {
			bigcache.Options{MaxSize: 3 * driver.MiB},
			cache.Options{Namespace: strings.Repeat(":", int(driver.KiB)), MaxValueBytes: 32 * driver.KiB, MaxKeyBytes: 32 * driver.KiB, MaxTags: 4096}, 300,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 0))
			o := start(t, test.options, test.service)
			service := test.service.WithDefaults()
			largest := int(service.MaxValueBytes)
			value := strings.Repeat("v", largest)
			tags := make([]string, service.MaxTags)
			for round := range test.rounds {
				size := largest
				switch random.IntN(4) {
				case 0:
					size = random.IntN(largest + 1)
				case 1:
					size = random.IntN(min(largest, 1000))
				case 2: // about equally often of each order of magnitude
					size = largest >> random.IntN(20)
				}
				key := fmt.Sprint(service.Namespace, random.IntN(200))
				used := tags[:random.IntN(len(tags)+1)]
				o.set(key, value[:size], used...)
				o.hit(key, value[:size])
				if t.Failed() {
					t.Fatalf("round %d: a value of %d bytes with %d tags; seed %d", round, size, len(used), seed)
				}
			}
		})
	}
}

// What Service adds to a value, a key and a namespace has room, too: the largest value that it
// accepts, under the longest key and with the most tags, is stored by a max_size that Init accepts.
func TestLargestValueOfService(t *testing.T) {
	t.Parallel()
	for _, namespace := range []string{"a", "app", ":", strings.Repeat(":", 1024), strings.Repeat("n", 1024)} {
		// Sizes from where Init refuses on down: the first that it accepts leaves no slack.
		for slack := range 4096 {
			service := cache.Options{
				Namespace: namespace, MaxValueBytes: 512*driver.KiB - driver.Size(slack),
				MaxKeyBytes: 64, MaxTags: 2, Codec: verbatim{},
			}
			strategy, err := bigcache.New(bigcache.Options{MaxSize: 2 * driver.MiB})
			if err != nil {
				t.Fatal(err)
			}
			s, err := cache.NewService(strategy, service)
			if err != nil {
				t.Fatal(err)
			}
			if s.Start(t.Context(), nil) != nil {
				continue
			}
			tags := []string{strings.Repeat("t", 64), strings.Repeat("u", 64)}
			err = s.Set(t.Context(), strings.Repeat("k", 64), make([]byte, service.MaxValueBytes), driver.SetOptions{Tags: tags})
			if err != nil {
				t.Errorf("namespace of %d bytes like %.1q: a value of max_value_bytes: %v", len(namespace), namespace, err)
			}
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			break
		}
	}
}

// verbatim encodes a []byte as itself.
type verbatim struct{}

func (verbatim) Name() string { return "verbatim" }
func (verbatim) Append(dst []byte, value any) ([]byte, error) {
	return append(dst, value.([]byte)...), nil
}
func (verbatim) Unmarshal(data []byte, target any) error {
	*target.(*[]byte) = data
	return nil
}

// A max_size that cannot hold max_value_bytes is refused by Init, in words that say what would do:
// exactly that much does, and no whole megabyte less.
func TestMaxSizeTooSmall(t *testing.T) {
	t.Parallel()
	figure := regexp.MustCompile(`raise it to at least (\d+[KMG]iB)`)
	for _, limit := range []driver.Size{700 * driver.KiB, driver.MiB, 1500 * driver.KiB, 2 * driver.MiB, 3*driver.MiB + 1, 64 * driver.MiB, 512 * driver.MiB} {
		service := cache.Options{MaxValueBytes: limit}
		initialise := func(size driver.Size) error {
			strategy, err := bigcache.New(bigcache.Options{MaxSize: size})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = strategy.Destroy(t.Context()) }()
			return strategy.Init(t.Context(), drivertest.NewInjector(t, service))
		}
		err := initialise(2 * driver.MiB)
		var option *driver.OptionError
		if !errors.As(err, &option) || option.Name != "max_size" {
			t.Errorf("max_value_bytes %v: error %v, want an OptionError of max_size", limit, err)
			continue
		}
		match := figure.FindStringSubmatch(option.Reason)
		if match == nil {
			t.Errorf("%q does not say how much is needed", option.Reason)
			continue
		}
		needed, err := driver.ParseSize(match[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := initialise(needed); err != nil {
			t.Errorf("max_value_bytes %v: %v was asked for, and refused: %v", limit, needed, err)
		}
		if needed-driver.MiB >= 2*driver.MiB && initialise(needed-driver.MiB) == nil {
			t.Errorf("max_value_bytes %v: %v was asked for, and a megabyte less does as well", limit, needed)
		}
	}
}

// The sizes at the ends of what Validate accepts.
func TestExtremeSizes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options bigcache.Options
		service cache.Options
	}{
		"most shards":   {bigcache.Options{MaxSize: 2 * driver.MiB, Shards: 1 << 16}, cache.Options{MaxValueBytes: 1, MaxKeyBytes: 1, MaxTags: 1}},
		"longest TTL":   {bigcache.Options{MaxSize: 2 * driver.MiB}, cache.Options{MaxValueBytes: 1000, MaxTTL: 1<<63 - 1}},
		"most memory":   {bigcache.Options{MaxSize: 1 << 62}, cache.Options{}},
		"fewest tags":   {bigcache.Options{MaxSize: 4 * driver.MiB, MaxInvalidatedTags: 1}, cache.Options{}},
		"shortest hold": {bigcache.Options{MaxSize: 4 * driver.MiB, LeaseTTL: time.Millisecond}, cache.Options{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := start(t, test.options, test.service)
			if err := o.Set(t.Context(), "k", []byte("v"), driver.SetOptions{TTL: time.Hour}); err != nil {
				t.Fatal(err)
			}
			o.hit("k", "v")
		})
	}
}
