package config_test

import (
	"fmt"
	"os"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/config"
)

func ExampleLoad() {
	source, err := config.Load(
		config.Defaults(map[string]any{"cache.strategy": "bigcache"}),
		config.YAML("cache: {strategy: redis, redis: {mode: standalone, password: hunter2}}"),                 // or File
		config.Environ("FXCACHE_", func() []string { return []string{"FXCACHE_CACHE__REDIS__MODE=cluster"} }), // or Env
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	type redis struct {
		Mode     string       `koanf:"mode,public"`
		Password cache.Secret `koanf:"password"`
	}
	var options struct {
		Strategy string `koanf:"strategy,public"`
		Redis    redis  `koanf:"redis"`
	}
	fmt.Println(source.Decode("cache", &options))
	fmt.Print(source) // text is shown if its tag says public; undecoded values are not
	// Output:
	// <nil>
	// cache:
	//     redis:
	//         mode: cluster
	//         password: '[redacted]'
	//     strategy: redis
}

func ExampleSource_Decode() {
	source, err := config.Load(config.YAML(`
cache:
  l1:
    ttl: 30
    max_sise: 64MiB
  l2:
    ttl: 5m
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	type options struct {
		TTL     time.Duration `koanf:"ttl"`
		MaxSize int           `koanf:"max_size"`
	}
	l1, l2 := options{MaxSize: 1000}, options{MaxSize: 2000}
	fmt.Println(source.Decode("cache.l1", &l1))
	fmt.Println(source.Decode("cache.l2", &l2), l2)
	// Output:
	// invalid configuration: 2 problems:
	//   cache.l1.max_sise (inline): unknown key; did you mean "max_size"?
	//   cache.l1.ttl (inline): has no unit: write 30s, 30ms, …
	// <nil> {5m0s 2000}
}

func ExampleJoin() {
	source, err := config.Load(config.YAML("{cache: {ttl: 1s}, sesion_cache: {}}"))
	if err != nil {
		fmt.Println(err)
		return
	}
	var cache struct {
		TTL time.Duration `koanf:"max_ttl"`
	}
	fmt.Println(config.Join(source.CheckSections("cache", "session_cache"), source.At("cache").Decode(&cache)))
	// Output:
	// invalid configuration: 2 problems:
	//   cache.ttl (inline): unknown key; valid keys: max_ttl
	//   sesion_cache (inline): unknown key; did you mean "session_cache"?
}

func ExampleChanges() {
	before, err := config.Load(config.YAML("cache: {strategy: redis, timeout: 50ms}"))
	if err != nil {
		fmt.Println(err)
	}
	after, err := config.Load(config.YAML("cache:\n  timeout: 80ms # it was 50ms\n  strategy: redis"))
	fmt.Println(config.Changes(before, after), err)
	// Output: [cache.timeout] <nil>
}

func ExampleEmptied() {
	file, err := os.CreateTemp("", "*.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.Remove(file.Name()) }()
	load := func() *config.Source {
		source, err := config.Load(config.File(file.Name()))
		if err != nil {
			fmt.Println(err)
		}
		return source
	}
	_, _ = file.WriteString("cache: {strategy: redis}")
	before := load()
	_ = file.Truncate(0) // the disk is full, or the writer has died
	fmt.Println(config.Emptied(before, load()) != nil)
	// Output: true
}
