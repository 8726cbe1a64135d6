package config_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
)

func TestDecodeValues(t *testing.T) {
	t.Parallel()
	secret, seven := cache.NewSecret("s"), 7
	for _, test := range []struct {
		name, yaml string
		want       everything
	}{
		{"squashed", `name: x`, everything{base: base{"x"}}},
		{"duration", `ttl: 1h30m`, everything{TTL: 90 * time.Minute}},
		{"duration zero", `ttl: 0`, everything{}},
		{"duration zero text", `ttl: "0"`, everything{}},
		{"size", `size: 64MiB`, everything{Size: 64 * driver.MiB}},
		{"size in bytes", `size: 4096`, everything{Size: 4096}},
		{"integer", `count: 256`, everything{Count: 256}},
		{"integer text", `count: "256"`, everything{Count: 256}},
		{"whole float", `count: 256.0`, everything{Count: 256}},
		{"unsigned", `port: 65535`, everything{Port: 65535}},
		{"float", `ratio: 0.5`, everything{Ratio: 0.5}},
		{"float whole", `ratio: 2`, everything{Ratio: 2}},
		{"float text", `ratio: "0.5"`, everything{Ratio: 0.5}},
		{"bool", `enabled: true`, everything{Enabled: true}},
		{"bool, as YAML 1.1 has it", `enabled: on`, everything{Enabled: true}},
		{"bool text", `enabled: "true"`, everything{Enabled: true}},
		{"list", `hosts: [a, "b,c"]`, everything{Hosts: []string{"a", "b,c"}}},
		{"list text", `hosts: a, b,c`, everything{Hosts: []string{"a", "b", "c"}}},
		{"list of durations", `delays: [1s, 2s]`, everything{Delays: []time.Duration{time.Second, 2 * time.Second}}},
		{"map", `labels: {a.b: c}`, everything{Labels: map[string]string{"a.b": "c"}}},
		{"nested", `nested: {mode: m}`, everything{Nested: nested{Mode: "m"}}},
		{"nested empty", `nested:`, everything{}},
		{"pointer", `optional: {mode: m}`, everything{Optional: &nested{Mode: "m"}}},
		{"pointer to number", `limit: 7`, everything{Limit: &seven}},
		{"list of structs", `servers: [{mode: a}, {wait: 1s}]`, everything{Servers: []nested{{Mode: "a"}, {Wait: time.Second}}}},
		{"secret pointer", `auth: s`, everything{Auth: &secret}},
		{"any", `any: {a: [1, {b: null}]}`, everything{Any: map[string]any{"a": []any{1, map[string]any{"b": nil}}}}},
		{"any nothing", `any:`, everything{}},
		{"anchors", "labels: &a {k: v}\nnested: {<<: *b}\nany: &b {mode: m}", everything{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.name == "anchors" { // an anchor counts from where it stands
				if _, err := config.Load(config.YAML(test.yaml)); err == nil {
					t.Error("an anchor was used before it was there")
				}
				return
			}
			var got everything
			must(t, yamlSource(t, test.yaml).Decode("", &got))
			if got.Auth != nil && got.Auth.Equal(*test.want.Auth) {
				got.Auth = test.want.Auth
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestDecodeText(t *testing.T) {
	t.Parallel()
	source := load(t, environ("FXCACHE_X__COUNT=256", "FXCACHE_X__TINY=-128", "FXCACHE_X__PORT=80", "FXCACHE_X__RATIO=0.5", "FXCACHE_X__ENABLED=true",
		"FXCACHE_X__HOSTS=a,b,c", "FXCACHE_X__TTL=5m", "FXCACHE_X__SIZE=1GiB", "FXCACHE_X__PASSWORD=12345", "FXCACHE_X__NAME=0123",
		"FXCACHE_X__LABELS__ZONE=1", "FXCACHE_X__LIMIT=7", "FXCACHE_X__DELAYS="))
	got := everything{Delays: []time.Duration{1}}
	must(t, source.Decode("x", &got))
	seven := 7
	want := everything{
		base: base{"0123"}, Count: 256, Tiny: -128, Port: 80, Ratio: 0.5, Enabled: true, Hosts: []string{"a", "b", "c"}, TTL: 5 * time.Minute,
		Size: driver.GiB, Labels: map[string]string{"zone": "1"}, Limit: &seven, Delays: []time.Duration{}, Password: got.Password,
	}
	if !reflect.DeepEqual(got, want) || got.Password.Reveal() != "12345" {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDecodeJSONAndTOML(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"a.json": `{"ttl": 0, "size": 1048576, "count": 3, "ratio": 2, "hosts": ["a"], "nested": {"wait": "1s"}, "limit": 7}`,
		"a.toml": "ttl = 0\nsize = 1_048_576\ncount = 3\nratio = 2\nhosts = ['a']\nlimit = 7\n[nested]\nwait = '1s'\n",
	} {
		seven := 7
		want := everything{Size: driver.MiB, Count: 3, Ratio: 2, Hosts: []string{"a"}, Nested: nested{Wait: time.Second}, Limit: &seven}
		var got everything
		must(t, load(t, config.File(write(t, name, content))).Decode("", &got))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestDecodeProblems(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ yaml, want string }{
		{`ttl: 30`, `ttl (inline): has no unit: write 30s, 30ms, …`},
		{`ttl: "1.5"`, `ttl (inline): has no unit: write 1.5s, 1.5ms, …`},
		{`ttl: 1e3`, `ttl (inline): has no unit: write 1000s, 1000ms, …`},
		{`ttl: 1d`, `ttl (inline): must be a duration such as 500ms, 30s, 5m or 24h`},
		{`ttl: ""`, `ttl (inline): must be a duration such as 500ms, 30s, 5m or 24h, and is empty`},
		{`ttl: 9999999999h`, `ttl (inline): must be a duration such as 500ms, 30s, 5m or 24h`},
		{`ttl: [1s]`, `ttl (inline): must be a duration such as 500ms, 30s, 5m or 24h, not a list`},
		{`ttl: true`, `ttl (inline): must be a duration such as 500ms, 30s, 5m or 24h, not true`},
		{`ttl:`, `ttl (inline): has no value: write one, or remove the key`},
		{`size: 64Mb`, `size (inline): is not a size: write a whole number and a unit, such as 64MiB`},
		{`size: 1.5`, `size (inline): is not a size: write a whole number and a unit, such as 64MiB`},
		{`size: true`, `size (inline): is not a size: write a whole number and a unit, such as 64MiB`},
		{`size: {a: 1}`, `size (inline): must be text, not a section`},
		{`count: lots`, `count (inline): must be a whole number`},
		{`count: 1.5`, `count (inline): must be a whole number, not 1.5`},
		{`count: 1e30`, `count (inline): is too large to be read exactly: put it in quotes`},
		{`count: true`, `count (inline): must be a whole number, not true`},
		{`count: [1]`, `count (inline): must be a whole number, not a list`},
		{`count: 2020-01-01`, `count (inline): must be a whole number, not a value of another kind`},
		{`count: "` + strings.Repeat("x", 99) + `"`, `count (inline): must be a whole number`},
		{`tiny: 128`, `tiny (inline): must be a whole number from -128 to 127, not 128`},
		{`port: 65536`, `port (inline): must be a whole number from 0 to 65535, not 65536`},
		{`port: -1`, `port (inline): must be a whole number from 0 to 65535, not -1`},
		{`count: 18446744073709551615`, `count (inline): must be a whole number from -9223372036854775808 to 9223372036854775807, not 18446744073709551615`},
		{`limit: x`, `limit (inline): must be a whole number`},
		{`limit:`, `limit (inline): has no value: write one, or remove the key`},
		{`ratio: .nan`, `ratio (inline): must be a number, not NaN`},
		{`ratio: many`, `ratio (inline): must be a number`},
		{`enabled: "On"`, `enabled (inline): must be true or false`},
		{`enabled: "yes"`, `enabled (inline): must be true or false`},
		{`enabled: 1`, `enabled (inline): must be true or false, not 1`},
		{`name: 123`, `name (inline): must be text, not a number: put it in quotes`},
		{`name: true`, `name (inline): must be text, not true or false: put it in quotes`},
		{`name: [a]`, `name (inline): must be text, not a list`},
		{`name: {a: b}`, `name (inline): must be text, not a section`},
		{`name: ~`, `name (inline): has no value: write one, or remove the key`},
		{`hosts: {a: b}`, `hosts (inline): must be a list, not a section`},
		{`hosts: 5`, `hosts (inline): must be a list, not a number`},
		{`hosts: [a, 5]`, `hosts[1] (inline): must be text, not a number: put it in quotes`},
		{`hosts: [a, null]`, `hosts[1] (inline): has no value: write one, or remove the key`},
		{`servers: x`, `servers (inline): must be a list, not text`},
		{`servers: [{mode: x}, {mod: y}]`, `servers[1].mod (inline): unknown key; did you mean "mode"?`},
		{`labels: x`, `labels (inline): must be a section of keys, not text`},
		{`labels: {a.b: 5}`, `labels."a.b" (inline): must be text, not a number: put it in quotes`},
		{`labels: {"": 5}`, `labels."" (inline): must be text, not a number: put it in quotes`},
		{`nested: 5`, `nested (inline): must be a section of keys, not a number`},
		{`nested: {wait: 5}`, `nested.wait (inline): has no unit: write 5s, 5ms, …`},
		{`nested: {zzz: 5}`, `nested.zzz (inline): unknown key; valid keys: mode, wait`},
		{`optional: {wiat: 5}`, `optional.wiat (inline): unknown key; did you mean "wait"?`},
		{`nested.wait: 5s`, `"nested.wait" (inline): unknown key: a dot does not open a section; write nested: on a line of its own, and the rest below it`},
		{`Count: 5`, `Count (inline): unknown key; did you mean "count"?`},
		{`tlt: 5s`, `tlt (inline): unknown key; did you mean "ttl"?`},
		{`passwort: hunter2`, `passwort (inline): unknown key; did you mean "password"?`},
		{`Untagged: x`, `Untagged (inline): unknown key; valid keys: any, auth, auth_file, callback, count, delays, enabled, homepage, hosts, keys, labels, limit, name, nested, optional, password, password_file, port, ratio, servers, size, tiny, token_pin, token_ttl, ttl`},
		{`callback: x`, `callback (inline): cannot be configured: its type is func()`},
		{`password: 12345`, `password (inline): must be text, not a number: put it in quotes`},
		{`password: {hunter2: x}`, `password (inline): must be text, not a section`},
		{`keys: [a, 5]`, `keys[1] (inline): must be text, not a number: put it in quotes`},
		{`token_pin: hunter2`, `token_pin (inline): must be a whole number (the value is not shown)`},
		{`ttl: 7654321`, `ttl (inline): has no unit: write 30s, 30ms, …`},
		{`optional:`, `optional (inline): has no value: write one, or remove the key`},
		{`labels: {hunter2@distinct: 5}`, `labels."hunter2…" (inline): must be text, not a number: put it in quotes`},
		{`{password:hunter2}`, `"password…" (inline): unknown key; did you mean "password"?`},
		{`nested: {wait:hunter2: 5}`, `nested."wait…" (inline): unknown key; did you mean "wait"?`},
		{`password:hunter.2: 5`, `"password…" (inline): unknown key: a dot does not open a section; write password…: on a line of its own, and the rest below it`},
		{strings.Repeat("x", 99) + `: 5`, `"` + strings.Repeat("x", 64) + `…" (inline): unknown key; valid keys: any, auth, auth_file, callback, count, delays, enabled, homepage, hosts, keys, labels, limit, name, nested, optional, password, password_file, port, ratio, servers, size, tiny, token_pin, token_ttl, ttl`},
		{`token_ttl: 7654321`, `token_ttl (inline): has no unit: write 30s, 30ms, …`},
		{`count: "redis://user:hunter2@host"`, `count (inline): must be a whole number`},
	} {
		t.Run(test.yaml, func(t *testing.T) {
			t.Parallel()
			var got everything
			err := yamlSource(t, test.yaml).Decode("", &got)
			wantProblems(t, err, test.want)
			if !reflect.DeepEqual(got, everything{}) {
				t.Errorf("dst changed to %+v", got)
			}
		})
	}
}

func TestDecodeReportsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	file := write(t, "app.yaml", "cache: {max_ttl: 30, max_tag: 5, bigcache: {x: 1}, namespace: 1}")
	source := load(t, config.File(file), environ("FXCACHE_CACHE__TIMEOUT=fast"))
	options := cache.Options{}.WithDefaults()
	err := source.Decode("cache", &options, "bigcache", "redis")
	want := "invalid configuration: 4 problems:" +
		"\n  cache.max_tag (" + file + `): unknown key; did you mean "max_tags"?` +
		"\n  cache.max_ttl (" + file + "): has no unit: write 30s, 30ms, …" +
		"\n  cache.namespace (" + file + "): must be text, not a number: put it in quotes" +
		"\n  cache.timeout (environment FXCACHE_CACHE__TIMEOUT): must be a duration such as 500ms, 30s, 5m or 24h"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestDecodeValidates(t *testing.T) {
	t.Parallel()
	options := cache.Options{}.WithDefaults()
	source := load(t, config.YAML("cache: {max_tags: -1, timeuot: 1s}"), environ("FXCACHE_CACHE__TIMEOUT=-1s"), config.Values(map[string]any{"cache.default_ttl": 9999 * time.Hour}))
	wantProblems(t, source.Decode("cache", &options),
		"cache.default_ttl (code): must not exceed max_ttl (720h0m0s), not 9999h0m0s",
		"cache.max_tags (inline): must be between 1 and 4096, not -1",
		"cache.timeout (environment FXCACHE_CACHE__TIMEOUT): must be positive, not -1s",
		`cache.timeuot (inline): unknown key; did you mean "timeout"?`)
	if options.MaxTags != 256 {
		t.Errorf("max_tags changed to %d", options.MaxTags)
	}

	// A missing section is validated too. A problem with a key that no input has set has the origin
	// "default".
	wantProblems(t, source.Decode("nowhere", &strict{}), "nowhere: is hopeless", "nowhere.name (default): must not be empty")
	// What Validate says of a value that could not be read would be about the default in its place.
	wantProblems(t, yamlSource(t, "x: {name: 5}").Decode("x", &strict{}), "x: is hopeless", "x.name (inline): must be text, not a number: put it in quotes")
	must(t, yamlSource(t, "x: {name: fine}").Decode("x", &strict{}))
	must(t, yamlSource(t, "x:").Decode("x", &nested{}))

	wantProblems(t, yamlSource(t, "x: {l1: {hosts: [a]}, password_file: "+write(t, "p", "p")+"}").Decode("x", &fussy{}),
		"x: both: the first and the second", `x: parse "redis://u:[redacted]@h": bad port`,
		"x.l1.hosts[0] (inline): is not a host", "x.l1.mode (default): is missing", "x.password (inline): is too short")
}

// strict is valid if it has a name.
type strict struct {
	Name string `koanf:"name"`
}

func (s *strict) Validate() error {
	if s.Name != "" {
		return nil
	}
	return errors.Join(&cache.OptionError{Name: "name", Reason: "must not be empty"}, errors.Join(nil, errors.New("is hopeless")))
}

// fussy is never valid.
type fussy struct {
	L1 struct {
		Hosts []string `koanf:"hosts"`
		Mode  string   `koanf:"mode"`
	} `koanf:"l1"`
	Password cache.Secret `koanf:"password"`
}

func (fussy) Validate() error {
	return errors.Join(
		&cache.OptionError{Name: "l1.hosts[0]", Reason: "is not a host"}, &cache.OptionError{Name: "l1.mode", Reason: "is missing"},
		&cache.OptionError{Name: "password", Reason: "is too short"},
		fmt.Errorf("both: %w and %w", errors.New("the first"), errors.New("the second")),
		errors.New(`parse "redis://u:hunter2@h": bad port`))
}

func TestDecodeLeavesDstAloneOnError(t *testing.T) {
	t.Parallel()
	limit, optional := 1, &nested{Mode: "before"}
	dst := everything{
		base: base{"before"}, Limit: &limit, Optional: optional, Labels: map[string]string{"k": "before"},
		Hosts: []string{"before"}, Nested: nested{Mode: "before"},
	}
	text := "{name: after, limit: 2, optional: {mode: after}, labels: {k: after, l: after}, hosts: [after], nested: {mode: after}, ttl: 1s%s}"
	for _, bad := range []string{", count: lots", ", unknown: 1"} {
		if err := yamlSource(t, fmt.Sprintf(text, bad)).Decode("", &dst); err == nil {
			t.Fatal("no error")
		}
		want := everything{
			base: base{"before"}, Limit: &limit, Optional: &nested{Mode: "before"}, Labels: map[string]string{"k": "before"},
			Hosts: []string{"before"}, Nested: nested{Mode: "before"},
		}
		if !reflect.DeepEqual(dst, want) || limit != 1 {
			t.Errorf("dst is %+v, want %+v", dst, want)
		}
	}

	// The secret behind a pointer is not written to either, if it comes from a file.
	auth := cache.NewSecret("before")
	dst.Auth = &auth
	if err := yamlSource(t, "{auth_file: "+write(t, "auth", "after")+", count: lots}").Decode("", &dst); err == nil || auth.Reveal() != "before" {
		t.Errorf("auth is %q after %v", auth.Reveal(), err)
	}
	dst.Auth = nil

	// Values that dst shares with other code are not written to, not even on success.
	shared, labels := dst, dst.Labels
	must(t, yamlSource(t, fmt.Sprintf(text, "")).Decode("", &dst))
	if limit != 1 || optional.Mode != "before" || labels["k"] != "before" || len(labels) != 1 || shared.Hosts[0] != "before" {
		t.Errorf("shared values changed: %d %+v %v %v", limit, optional, labels, shared.Hosts)
	}
	if *dst.Limit != 2 || dst.Optional.Mode != "after" || dst.Labels["k"] != "after" || dst.Hosts[0] != "after" {
		t.Errorf("dst is %+v", dst)
	}
}

func TestDecodeSections(t *testing.T) {
	t.Parallel()
	source := yamlSource(t, "cache: {strategy: x, x: {anything: 1}, y: 5}")
	var selection struct {
		Strategy string `koanf:"strategy"`
	}
	must(t, source.Decode("cache", &selection, "x", "y"))
	if selection.Strategy != "x" {
		t.Errorf("strategy is %q", selection.Strategy)
	}
	wantProblems(t, source.Decode("cache", &selection, "x", "z"), `cache.y (inline): unknown key; did you mean "x"?`)
	wantProblems(t, source.Decode("cache.y", &selection), "cache.y (inline): must be a section of keys, not a number")
	wantProblems(t, source.Decode("cache.y.deeper", &selection), "cache.y (inline): must be a section of keys, not a number")
	wantProblems(t, source.Decode("cache.x", &struct{}{}), "cache.x.anything (inline): unknown key; there are no keys here")
	wantProblems(t, yamlSource(t, "cache: 5").Decode("cache", &selection), "cache (inline): must be a section of keys, not a number")
	must(t, source.Decode("not.there", &selection))
	must(t, yamlSource(t, "{log_file: x, strategy_file: {}, strategy: y}").Decode("", &selection, "log_file", "strategy_file"))
}

func TestDecodeNeedsAPointerToAStruct(t *testing.T) {
	t.Parallel()
	number := 5
	for _, dst := range []any{nil, everything{}, (*everything)(nil), &number, "x"} {
		wantProblems(t, yamlSource(t, "").Decode("a", dst), fmt.Sprintf("a: cannot be decoded into %T: that is not a pointer to a struct", dst))
	}
}

func TestDecodeRefusesAStructThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	var dst struct {
		Count int `koanf:",squash"`
	}
	var all *config.Error
	err := yamlSource(t, "a: {}").Decode("a", &dst)
	if !errors.As(err, &all) || all.Problems[0].Path != "a" || !strings.Contains(err.Error(), "cannot be decoded into *struct") {
		t.Errorf("got %v", err)
	}
}
