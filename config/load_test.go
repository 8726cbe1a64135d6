package config_test

import (
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
)

func TestPrecedence(t *testing.T) {
	t.Parallel()
	app := koanf.New(".")
	must(t, app.Load(confmap.Provider(map[string]any{"cache.name": "koanf"}, "."), nil))
	inputs := []config.Input{ // from the weakest to the strongest
		config.Defaults(map[string]any{"cache.name": "defaults"}),
		config.From(app, ""),
		config.File(write(t, "1.yaml", "cache: {name: first}"), write(t, "2.toml", "[cache]\nname = 'second'")),
		config.File(write(t, "3.json", `{"cache": {"name": "third"}}`)),
		environ("FXCACHE_CACHE__NAME=environment"),
		config.Values(map[string]any{"cache": map[string]any{"name": "code"}}),
	}
	want := []string{"defaults", "koanf", "second", "third", "environment", "code"}
	for n := range inputs {
		given := append([]config.Input{{}}, inputs[:n+1]...)
		orders := [][]config.Input{given}
		if n != 3 { // files among themselves are in the order given
			reversed := make([]config.Input, 0, n+1)
			for i := n; i >= 0; i-- {
				reversed = append(reversed, inputs[i])
			}
			orders = append(orders, reversed)
		}
		for _, order := range orders {
			var got everything
			must(t, load(t, order...).Decode("cache", &got))
			if got.Name != want[n] {
				t.Errorf("%d inputs: name is %q, want %q", n+1, got.Name, want[n])
			}
		}
	}
}

func TestMergeKeepsTheOtherKeys(t *testing.T) {
	t.Parallel()
	source := load(t,
		config.YAML("a: {name: x, nested: {mode: m, wait: 1s}, hosts: [one, two], labels: {k: v}}"),
		config.YAML("a: {nested: {wait: 2s}, hosts: [three], labels: {l: w}}"),
		config.YAML("a:"), // an empty section takes nothing away
		environ("FXCACHE_A__NESTED__MODE=env"),
	)
	var got everything
	must(t, source.Decode("a", &got))
	want := everything{
		base: base{"x"}, Nested: nested{"env", 2 * time.Second},
		Hosts: []string{"three"}, Labels: map[string]string{"k": "v", "l": "w"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEnvironCountsOnlyNestedNames(t *testing.T) {
	t.Parallel()
	source := load(t, environ(
		"FXCACHE_PORT=tcp://10.0.0.1:80", "FXCACHE_SERVICE_HOST=10.0.0.1", "OTHER__A=1", "noequals", "=C:=x",
		"FXCACHE_CACHE__TTL=1s", "FXCACHE_CACHE__NESTED__MODE=a=b"))
	must(t, source.CheckSections("cache"))
	var got everything
	must(t, source.Decode("cache", &got))
	if got.TTL != time.Second || got.Nested.Mode != "a=b" {
		t.Errorf("got %+v", got)
	}
}

func TestEnvReadsTheProcess(t *testing.T) {
	t.Setenv("FXCACHE_CONFIG_TEST_CACHE__NAME", "process")
	var got everything
	must(t, load(t, config.Env("FXCACHE_CONFIG_TEST_")).Decode("cache", &got))
	if got.Name != "process" {
		t.Errorf("name is %q", got.Name)
	}
}

func TestValuesMayHaveTheirTypes(t *testing.T) {
	t.Parallel()
	hosts := []string{"a", "b"}
	limit := 7
	values := map[string]any{
		"x.ttl": time.Minute, "x.size": 2 * driver.MiB, "x.count": int64(3), "x.hosts": hosts, "x.limit": &limit,
		"x.password": cache.NewSecret("p"), "x.labels": map[string]string{"k": "v"},
		"x": map[string]any{"nested.wait": "1s", "callback": func() {}},
	}
	source := load(t, config.Values(values))
	hosts[0] = "changed"
	var got everything
	must(t, source.Decode("x", &got))
	if got.TTL != time.Minute || got.Size != 2*driver.MiB || got.Count != 3 || got.Hosts[0] != "a" || *got.Limit != 7 ||
		got.Password.Reveal() != "p" || got.Labels["k"] != "v" || got.Nested.Wait != time.Second || got.Callback == nil {
		t.Errorf("got %+v", got)
	}
}

func TestFrom(t *testing.T) {
	t.Parallel()
	for _, delimiter := range []string{".", "/"} {
		app := koanf.New(delimiter)
		must(t, app.Load(confmap.Provider(map[string]any{
			"db":       map[string]any{"url": "x"},
			"platform": map[string]any{"fx": map[string]any{"cache": map[string]any{"hosts": []any{"a"}, "ttl": 30, "labels": map[string]any{"a.b": "c"}}}},
		}, ""), nil))
		before := app.Raw()

		source := load(t, config.From(app, "platform"+delimiter+"fx"), environ("FXCACHE_CACHE__PORT=x", "FXCACHE_CACHE__LABELS__D=e"))
		var got everything
		wantProblems(t, source.Decode("cache", &got),
			`cache.port (environment FXCACHE_CACHE__PORT): must be a whole number`,
			`platform.fx.cache.ttl (koanf): has no unit: write 30s, 30ms, …`)
		wantProblems(t, source.CheckSections("sessions"), `platform.fx.cache (koanf): unknown key; valid keys: sessions`)
		wantProblems(t, source.Decode("missing.deep", &strict{}),
			`platform.fx.missing.deep: is hopeless`, `platform.fx.missing.deep.name (default): must not be empty`)
		wantProblems(t, source.Decode("cache.hosts", &got), `platform.fx.cache.hosts (koanf): must be a section of keys, not a list`)

		source = load(t, config.From(app, "platform"+delimiter+"fx"), config.Values(map[string]any{"cache.ttl": "1s", "cache.labels": map[string]any{"a": "x"}}))
		must(t, source.Decode("cache", &got))
		got.Hosts[0], got.Labels["new"] = "changed", "x"
		if got.Labels["a.b"] != "c" {
			t.Errorf("a key with a dot: %v", got.Labels)
		}
		if !reflect.DeepEqual(app.Raw(), before) {
			t.Errorf("the application's koanf changed to %v", app.Raw())
		}
		must(t, app.Set("platform"+delimiter+"fx"+delimiter+"cache"+delimiter+"name", "later"))
		got = everything{}
		must(t, source.Decode("cache", &got))
		if got.Name != "" || got.Hosts[0] != "a" {
			t.Errorf("a later change shows: %+v", got)
		}
	}
}

func TestFromEdges(t *testing.T) {
	t.Parallel()
	app := koanf.New(".")
	must(t, app.Load(confmap.Provider(map[string]any{"a": 5}, ""), nil))
	for _, test := range []struct {
		name  string
		input config.Input
		want  []string
	}{
		{"nil", config.From(nil, ""), []string{"koanf: is nil"}},
		{"missing", config.From(app, "nowhere.at.all"), nil},
		{"a value", config.From(app, "a"), []string{"a (koanf): must be keys and values, not a number"}},
		{"below a value", config.From(app, "a.b"), []string{"a (koanf): must be keys and values, not a number"}},
		{"no delimiter", config.From(koanf.New(""), "a"), nil},
	} {
		_, err := config.Load(test.input)
		t.Log(test.name)
		wantProblems(t, err, test.want...)
	}
}

func TestLoadProblems(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, file, content string
		want                []string // without the file's path
	}{
		{"yaml syntax", "a.yaml", "a: 1\nb: [1\nc: 2\n", []string{"line 1: did not find expected ',' or ']'"}},
		{"yaml duplicate", "a.yml", "a:\n  b: 1\n  b: 2\na: 3\n", []string{`line 4: key "a" is already defined at line 1`}},
		{"yaml nested duplicate", "a.yml", "a:\n  b: 1\n  b: 2\n", []string{`line 3: key "b" is already defined at line 2`}},
		{"yaml two documents", "a.yaml", "a: {}\n---\nb: {}\n", []string{"has more than one document: remove what follows the line ---"}},
		{"yaml broken second document", "a.yaml", "a: {}\n---\nb: [\n", []string{"line 3: did not find expected node content"}},
		{"yaml scalar", "a.yaml", "hello", []string{"line 1: must be keys and values"}},
		{"yaml list", "a.yaml", "[1]", []string{"line 1: must be keys and values"}},
		{"yaml number as key", "a.yaml", "a:\n  0123: x", []string{"line 2: has a key that is not text: put it in quotes"}},
		{"yaml password as anchor", "a.yaml", "password: *hunter2", []string{"unknown anchor referenced"}},
		{"yaml password as key", "a.yaml", "password: {{ hunter2 }}", []string{"invalid key: put values that begin with { in quotes, and fill in placeholders such as {{ … }} first"}},
		{"yaml password with tag", "a.yaml", "password: !!int hunter2", []string{"cannot decode !!str … as a !!int"}},
		{"yaml empty", "a.yaml", "# nothing\n", nil},
		{"toml syntax", "a.toml", "a = 1\nb = \n", []string{"line 2: incomplete number"}},
		{"toml duplicate", "a.toml", "a = 1\na = 2\n", []string{"key a is already defined"}},
		{"toml number", "a.toml", "\npassword = 99999999999999999999\n", []string{"line 2: couldn't parse decimal number: value out of range"}},
		{"toml empty", "a.toml", "", nil},
		{"json syntax", "a.json", "{\n\"a\": 1,\n\"b\" 2}", []string{"line 3: invalid character '2' after object key"}},
		{"json empty", "a.json", "", []string{"line 1: unexpected end of JSON input"}},
		{"json list", "a.json", "[1]", []string{"must be an object, { … }"}},
		{"json number", "a.json", `{"a": 1e999}`, []string{"has a number that is too large"}},
		{"json null", "a.json", "null", nil},
		{"extension", "a.ini", "a=1", []string{"has an unknown extension: name it one of .json, .toml, .yaml, .yml"}},
		{"upper case extension", "a.YAML", "a: {}", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := write(t, test.file, test.content)
			_, err := config.Load(config.File(path))
			for i, want := range test.want {
				test.want[i] = path + ": " + want
			}
			wantProblems(t, err, test.want...)
		})
	}
}

func TestLoadReportsAllInputs(t *testing.T) {
	t.Parallel()
	missing, folder := t.TempDir()+"/missing.yaml", t.TempDir()+"/folder.yaml"
	mustMkdir(t, folder)
	_, err := config.Load(config.File(missing, folder), config.YAML("a: ["), environ("FXCACHE_A____B=1", "FXCACHE_A__=1"),
		config.Values(map[string]any{"a..b": 1, "": map[string]any{"b": 1}}))
	var all *config.Error
	if !errors.As(err, &all) || len(all.Problems) != 7 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		missing + ": cannot be read: no such file or directory", folder + ": cannot be read: is a directory", "inline: line 1: ",
		"environment FXCACHE_A____B: names an empty key", "environment FXCACHE_A__: names an empty key",
		`code: has a key with an empty part, "a..b"`, `code: has a key with an empty part, ".b"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		inputs []config.Input
		want   []string
	}{
		{"a value over a section", []config.Input{config.YAML("cache: {bigcache: {size: 1}}"), environ("FXCACHE_CACHE__BIGCACHE=x")},
			[]string{"cache.bigcache (environment FXCACHE_CACHE__BIGCACHE): must be a section, as in inline, not text"}},
		{"a section over a value", []config.Input{config.YAML("cache: {bigcache: 5}"), environ("FXCACHE_CACHE__BIGCACHE__SIZE=1")},
			[]string{"cache.bigcache (environment FXCACHE_CACHE__BIGCACHE__SIZE): must not be a section: it is a number in inline"}},
		{"within the environment", []config.Input{environ("FXCACHE_A__B__C=x", "FXCACHE_A__B=secret")},
			[]string{"a.b (environment FXCACHE_A__B__C): must not be a section: it is text in environment FXCACHE_A__B"}},
		{"within code", []config.Input{config.Values(map[string]any{"a": map[string]any{"b": []int{1}}, "a.b.c": true})},
			[]string{"a.b (code): must not be a section: it is a list in code"}},
		{"a list over a value", []config.Input{config.YAML("a: {hosts: one}"), config.YAML("a: {hosts: [two]}")}, nil},
		{"a section over nothing", []config.Input{config.YAML("a: {nested: }"), config.YAML("a: {nested: {mode: x}}")}, nil},
	} {
		_, err := config.Load(test.inputs...)
		t.Log(test.name)
		wantProblems(t, err, test.want...)
	}
}

func TestTheOriginIsThatOfTheInputThatWon(t *testing.T) {
	t.Parallel()
	source := load(t, config.YAML("a: {ttl: 5m, nested: {wait: 1}, hosts: [a, b]}"), config.YAML("a:"), environ("FXCACHE_A__TTL=fast"),
		config.Values(map[string]any{"a.hosts": []int{1}, "a.labels": map[string]int{"x.y": 1}}))
	wantProblems(t, source.Decode("a", &everything{}),
		"a.hosts[0] (code): must be text, not a number: put it in quotes",
		"a.labels.x (code): must be text, not a section",
		"a.nested.wait (inline): has no unit: write 1s, 1ms, …",
		`a.ttl (environment FXCACHE_A__TTL): must be a duration such as 500ms, 30s, 5m or 24h`)
}

func TestInputsAreReusable(t *testing.T) {
	t.Parallel()
	values := map[string]any{"a": map[string]any{"labels": map[string]any{"k": "v"}}}
	input, more := config.Defaults(values), config.YAML("a: {labels: {l: w}}")
	load(t, input, more)
	var got everything
	must(t, load(t, input).Decode("a", &got))
	if want := map[string]string{"k": "v"}; !maps.Equal(got.Labels, want) {
		t.Errorf("labels are %v, want %v", got.Labels, want)
	}
}
