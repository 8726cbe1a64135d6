package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
)

// everything has a field of each kind that can be configured.
type everything struct {
	base     `koanf:",squash"`
	TTL      time.Duration     `koanf:"ttl"`
	Size     driver.Size       `koanf:"size"`
	Count    int               `koanf:"count"`
	Tiny     int8              `koanf:"tiny"`
	Port     uint16            `koanf:"port"`
	Ratio    float64           `koanf:"ratio"`
	Enabled  bool              `koanf:"enabled"`
	Hosts    []string          `koanf:"hosts"`
	Delays   []time.Duration   `koanf:"delays"`
	Labels   map[string]string `koanf:"labels"`
	Nested   nested            `koanf:"nested"`
	Optional *nested           `koanf:"optional"`
	Limit    *int              `koanf:"limit"`
	Servers  []nested          `koanf:"servers"`
	Password cache.Secret      `koanf:"password"`
	Auth     *cache.Secret     `koanf:"auth"`
	Keys     []cache.Secret    `koanf:"keys"`
	PIN      int               `koanf:"token_pin"`
	Lifetime time.Duration     `koanf:"token_ttl"`
	Any      any               `koanf:"any"`
	Homepage string            `koanf:"homepage,public"`
	Callback func()            `koanf:"callback"`
	Hidden   string            `koanf:"-"`
	Untagged string
}

type base struct {
	Name string `koanf:"name,public"`
}

type nested struct {
	Mode string        `koanf:"mode,public"`
	Wait time.Duration `koanf:"wait"`
}

func yamlSource(t testing.TB, text string) *config.Source {
	t.Helper()
	return load(t, config.YAML(text))
}

func load(t testing.TB, inputs ...config.Input) *config.Source {
	t.Helper()
	source, err := config.Load(inputs...)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func environ(variables ...string) config.Input {
	return config.Environ("FXCACHE_", func() []string { return variables })
}

func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantProblems compares the problems of err, as strings, with want.
func wantProblems(t testing.TB, err error, want ...string) {
	t.Helper()
	var all *config.Error
	if err != nil && !errors.As(err, &all) {
		t.Fatalf("%T is not a *config.Error: %v", err, err)
	}
	var got []string
	if all != nil {
		for _, problem := range all.Problems {
			got = append(got, problem.String())
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("problems:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
