package fxcache_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"go.uber.org/fx"
	"go.yaml.in/yaml/v3"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/config"
)

// canary stands for a password in the wrong place.
const canary = "hunter2distinct"

// misplaced lists the forms in which the canary occurs.
var misplaced = []string{
	canary, "user:" + canary + "@redis.example.com", "redis://:" + canary + "@127.0.0.1:1/0", ":" + canary + "@127.0.0.1:1",
	"redis.example.com:6379,password=" + canary, "-----BEGIN PRIVATE KEY-----\n" + canary + "\n-----END PRIVATE KEY-----\n",
}

// public lists the keys whose text is not secret.
var public = []string{"cache.namespace", "cache.redis.client_name", "cache.redis.sentinel_master", "cache.redis.tls.server_name",
	"cache.redis.tls.ca", "cache.redis.tls.cert", "cache.redis.tls.key", "session_cache.prefix", "cache.stores.s.namespace"}

// everyKey returns the keys of the whole configuration with the strategy, and some unknown keys.
func everyKey(t *testing.T, strategy string) []string {
	t.Helper()
	var source *config.Source
	if err := newApp(fxcache.Override(map[string]any{"cache.strategy": strategy, "cache.namespace": "shop"}), fx.Populate(&source)).Err(); err != nil {
		t.Fatal(err)
	}
	var effective map[string]any
	if err := yaml.Unmarshal([]byte(source.String()), &effective); err != nil {
		t.Fatal(err)
	}
	var keys []string
	var walk func(string, any)
	walk = func(path string, value any) {
		section, ok := value.(map[string]any)
		if !ok {
			keys = append(keys, path)
		}
		for name, inner := range section {
			walk(strings.TrimPrefix(path+"."+name, "."), inner)
		}
	}
	walk("", effective)
	return append(keys, "cache.redis.password_file", "cache.redis.passwrod", "cache.redis.passwort_file", "cache.redis.url", "cache.redis.url_file",
		"cache.redis.addresses.0", "cache.redis.tls", "cache.redis.tls.enabled", "cache.redis.tls.ca", "cache.redis.tls.cert", "cache.redis.tls.key",
		"cache.redis.tls.server_name", "cache.redis.tls.min_version", "cache.redis.tls.pem", "cache.passwrod", "cache.redis", "cache", "sesion_cache.key",
		"cache.stores", "cache.stores.s", "cache.stores.s.strategy", "cache.stores.s.namespace", "cache.stores.s.timeout", "cache.stores.s.passwrod",
		"cache.stores.s.redis", "cache.stores.s.redis.username", "cache.stores.s.redis.password", "cache.stores.s.redis.url", "cache.stores.s.redis.db",
		"cache.stores.s.redis.lanes", "cache.stores.s.redis.passwrod", "cache.stores.s.redis.tls.key", "cache.stores.s.redis.tls.pem",
		"cache.caches", "cache.caches.c", "cache.caches.c.store", "cache.caches.c.ttl", "cache.caches.c.jitter", "cache.caches.c.password",
		"session_cache.strategy", "cache.noop.password", "cache.unheard.of.key", "other", "session_cache.noop")
}

// nowhere is an address that nothing listens on.
const nowhere = "FXCACHE_CACHE__REDIS__ADDRESSES=127.0.0.1:1"

// inputs sets a key to a value through every kind of configuration source.
func inputs(t *testing.T, strategy, key, value string) map[string]fx.Option {
	t.Helper()
	nested := map[string]any{"cache": map[string]any{"strategy": strategy, "namespace": "shop"}} // without one Redis is not started
	at, path := nested, strings.Split(key, ".")
	for i, name := range path[:len(path)-1] {
		if path[i+1] == "0" {
			break
		}
		inner, _ := at[name].(map[string]any)
		if inner == nil {
			inner = map[string]any{}
			at[name] = inner
		}
		at = inner
	}
	var leaf any = value
	name := path[len(path)-1]
	if name == "0" {
		name, leaf = path[len(path)-2], []any{"127.0.0.1:1", value}
	}
	at[name] = leaf
	inYAML, err := yaml.Marshal(nested)
	if err != nil {
		t.Fatal(err)
	}
	inJSON, err := json.Marshal(nested)
	if err != nil {
		t.Fatal(err)
	}
	quoted := strconv.Quote(value)
	if name != path[len(path)-1] {
		quoted = "['127.0.0.1:1', " + quoted + "]"
	}
	inTOML := strings.TrimSuffix(key, ".0") + " = " + quoted + "\n"
	for name, value := range map[string]string{"cache.strategy": strategy, "cache.namespace": "shop"} {
		if key != name && key != "cache" {
			inTOML += name + " = '" + value + "'\n"
		}
	}
	k := koanf.New(".")
	if err := k.Load(confmap.Provider(nested, "."), nil); err != nil {
		t.Fatal(err)
	}
	variable := "FXCACHE_" + strings.ToUpper(strings.ReplaceAll(strings.TrimSuffix(key, ".0"), ".", "__"))
	variables := []string{"FXCACHE_CACHE__STRATEGY=" + strategy, "FXCACHE_CACHE__NAMESPACE=shop", variable + "=" + value}
	if !strings.HasPrefix(key, "cache.redis.url") && !strings.HasPrefix(key, "cache.redis.addresses") {
		variables = append(variables, nowhere)
	}
	ways := map[string]fx.Option{
		"YAML":        fxcache.ConfigFile(file(t, "a.yaml", string(inYAML))),
		"JSON":        fxcache.ConfigFile(file(t, "a.json", string(inJSON))),
		"TOML":        fxcache.ConfigFile(file(t, "a.toml", inTOML)),
		"environment": fxcache.Environment("FXCACHE_", func() []string { return variables }),
		"koanf":       fxcache.Config(k, ""),
		"code":        fxcache.Override(map[string]any{"cache.strategy": strategy, "cache.namespace": "shop", strings.TrimSuffix(key, ".0"): leaf}),
	}
	if key == "cache.redis.password" { // a parse error does not depend on the strategy
		maps.Copy(ways, map[string]fx.Option{
			"broken YAML": fxcache.ConfigFile(file(t, "a.yaml", string(inYAML)+"\n\t"+canary+": {"+canary)),
			"bare YAML":   fxcache.ConfigFile(file(t, "a.yaml", fmt.Sprintf("x: &a {%s: 1}\ny: [*%s, %s", value, value, value))),
			"bare TOML":   fxcache.ConfigFile(file(t, "a.toml", fmt.Sprintf("%s = %s\n", key, value))),
			"bare JSON":   fxcache.ConfigFile(file(t, "a.json", fmt.Sprintf(`{"cache": %s}`, value))),
		})
	}
	return ways
}

// A secret under any key, from any source, appears in no error, in no log, and not in the printed
// configuration.
func TestMisplacedSecrets(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"bigcache", "redis"} {
		for _, key := range everyKey(t, strategy) {
			t.Run(strategy+"/"+key, func(t *testing.T) {
				t.Parallel()
				for i, value := range misplaced {
					given := inputs(t, strategy, key, value)
					for _, how := range slices.Sorted(maps.Keys(given)) {
						if (i > 0 || strategy != "redis") && slices.Contains([]string{"JSON", "TOML", "koanf", "code"}, how) { // enough of the same
							continue
						}
						said, printed := use(t, given[how])
						// what every node of an application must have in common is shown, if it may
						// be a name
						said = strings.ReplaceAll(said, "namespace="+canary+" ", "")
						if strings.Contains(said, canary) {
							t.Errorf("%s, %.20q: it says %s", how, value, said)
						}
						if strings.Contains(printed, canary) && !slices.Contains(public, key) {
							t.Errorf("%s, %.20q: it prints %s", how, value, printed)
						}
					}
				}
			})
		}
	}
}

// use builds an application with the configuration. If the configuration is valid, use runs the
// application for a moment. It returns the text of errors and the log, and the printed
// configuration.
func use(t *testing.T, configuration fx.Option) (said, printed string) {
	t.Helper()
	var log logged
	var source *config.Source
	var service *cache.Service
	named := fxcache.CacheOptions(func(o *cache.Options) {
		if o.Namespace == "app" { // which a shared storage does not take
			o.Namespace = "shop"
		}
	})
	options := fx.Options(fxcache.Module, fx.NopLogger, configuration, named, fx.Supply(slog.New(slog.NewTextHandler(&log, nil))), fx.Populate(&source, &service))
	app := fx.New(options)
	said = fmt.Sprintf("%v %+v", app.Err(), app.Err())
	if app.Err() == nil {
		start, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := app.Start(start); err != nil {
			said += fmt.Sprintf("%v %+v", err, err)
		} else {
			_, err := service.Get(t.Context(), "k", new(string))
			said += fmt.Sprintf("%v %+v", err, app.Stop(t.Context()))
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%d"} {
			printed += fmt.Sprintf(verb, source) + fmt.Sprintf(verb, service) + fmt.Sprintf(verb, service.Options())
		}
	}
	return said + log.String(), printed
}

// logged collects a log.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (s *logged) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *logged) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Reset()
}

func (s *logged) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
