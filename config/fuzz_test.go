package config_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/config"
)

// FuzzLoad reads arbitrary files of each format: no panic, and no secret in what is printed.
func FuzzLoad(f *testing.F) {
	const canary = "canary-in-a-coal-mine"
	for _, seed := range []string{
		"x:\n  password: " + canary + "\n  ttl: 30\n  nested: {wait: 1s}\n  servers: [{mode: a}]\n",
		"x: {auth: " + canary + ", keys: [" + canary + "], any: {token: " + canary + "}, limit: ~}",
		"x: {count: 1.5, hosts: a,b, labels: {a.b: c}}\nx.y: 1\n1: 2\n",
		"x: {any: 'redis://u:" + canary + "@h', password_file: /dev/null}",
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
		source, err := config.Load(input, environ("FXCACHE_Y__PASSWORD="+canary))
		if err != nil {
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
		secrets := []string{got.Password.Reveal(), got.Auth.Reveal()}
		for _, key := range got.Keys {
			secrets = append(secrets, key.Reveal())
		}
		// What else the file may hold, in whatever place, is not ours to hide.
		times := 0
		for _, secret := range secrets {
			if secret == canary {
				times++
			}
		}
		if bytes.Count(data, []byte(canary)) == times && strings.Contains(shown, canary) {
			t.Errorf("the secret shows in\n%s", shown)
		}
	})
}
