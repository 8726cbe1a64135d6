package config_test

import (
	"strings"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/config"
)

// FuzzLoad reads arbitrary files of each format. It must not panic or print a secret.
func FuzzLoad(f *testing.F) {
	const canary = "canary@in:a=coal/mine" // unlike any key, which would be shown
	for _, seed := range []string{
		"x:\n  password: " + canary + "\n  ttl: 30\n  nested: {wait: 1s}\n  servers: [{mode: a}]\n",
		"x: {auth: " + canary + ", keys: [" + canary + "], any: {token: " + canary + "}, limit: ~}",
		"x: {count: 1.5, hosts: a,b, labels: {a.b: c}}\nx.y: 1\n1: 2\n",
		"x: {any: 'redis://u:" + canary + "@h', password_file: /dev/null}",
		"x: {password_file: " + canary + "}\nz: " + canary + "\n",
		"x: {passwrod: " + canary + ", ttl: " + canary + ", size: " + canary + ", count: " + canary + ", hosts: " + canary + "}",
		"x: {labels: {k: " + canary + "}, servers: [{wait: " + canary + "}]}\n" + canary + ": 1\n",
		"a: &a [*a]\nb: !!int x\n? {c: d}\n: e\n",
		"[x]\npassword = '" + canary + "'\nsize = 1_024\n[[x.servers]]\nmode = 'a'\n",
		"x.ttl = 07:32:00\nx.ratio = nan\n",
		`{"x": {"password": "` + canary + `", "size": 1e6, "servers": [{}], "hosts": null}}`,
	} {
		for format := range uint8(3) {
			f.Add(format, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, format uint8, data []byte) {
		input := config.YAML(string(data))
		if extension := []string{"", "a.toml", "a.json"}[format%3]; extension != "" {
			input = config.File(write(t, extension, string(data)))
		}
		source, err := config.Load(input, environ("FXCACHE_Y__PASSWORD="+canary, "FXCACHE_Y__PASSWROD="+canary, "FXCACHE_Y__TTL="+canary))
		if err != nil {
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the secret shows in\n%v", err)
			}
			return
		}
		_ = source.CheckSections("x", "y")
		got := everything{Auth: new(cache.Secret), Optional: new(nested)}
		err = source.Decode("x", &got)
		if errY := source.Decode("y", &everything{}, "x"); errY != nil {
			err = config.Join(err, errY)
		}
		shown := source.String()
		if err != nil {
			shown += err.Error()
		}
		// The canary may be anywhere in the file, except in fields that are declared public.
		public := got.Name + got.Homepage + got.Nested.Mode + got.Optional.Mode
		for _, server := range got.Servers {
			public += server.Mode
		}
		if !strings.Contains(public, canary) && strings.Contains(shown, canary) {
			t.Errorf("the secret shows in\n%s", shown)
		}
	})
}
