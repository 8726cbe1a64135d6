package cache_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/codec"
	"github.com/fxcache/fxcache/cache/driver"
)

const hidden = "hunter2distinct"

type login struct {
	Name     string
	Password cache.Secret
}

type wrapped struct {
	inner  login
	secret cache.Secret
	ptr    *cache.Secret
	list   []cache.Secret
	byName map[string]cache.Secret
	any    any
}

// V19: a Secret prints itself nowhere, however deep it is buried.
func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	secret := cache.NewSecret(hidden)
	values := map[string]any{
		"plain": secret, "pointer": &secret, "field": login{"u", secret}, "unexported": wrapped{
			login{"u", secret}, secret, &secret, []cache.Secret{secret}, map[string]cache.Secret{"k": secret}, secret,
		}, "error": fmt.Errorf("%v %w", secret, errors.New("x")),
	}
	values["pointer to unexported"] = &wrapped{inner: login{"u", secret}, any: &secret}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%b", "%o", "%U", "%c", "%e", "%10.3s", "%-20v", "% x", "%#q"} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, hidden) || strings.Contains(text, fmt.Sprintf("%x", hidden)) || strings.Contains(text, fmt.Sprintf("%X", hidden)) {
				t.Errorf("%s with %s: %s", name, verb, text)
			}
		}
		var log bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(handler).Info("m", "v", v, slog.Group("g", "v", v))
		}
		data, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		all := log.String() + string(data)
		for _, encoder := range []cache.Codec{codec.CBOR{}, codec.MessagePack{}} {
			if encoded, err := encoder.Append(nil, v); err == nil {
				all += string(encoded)
			}
		}
		if strings.Contains(all, hidden) {
			t.Errorf("%s: %q", name, all)
		}
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	secret := cache.NewSecret(hidden)
	text := hidden
	at := driver.SecretAt(&text)
	if secret.Reveal() != hidden || at.Reveal() != hidden || !secret.Equal(at) || secret.IsZero() || secret.String() != "[redacted]" {
		t.Error("a secret is not what it hides")
	}
	for _, zero := range []cache.Secret{{}, cache.NewSecret(""), driver.SecretAt(nil), driver.SecretAt(new(string))} {
		if !zero.IsZero() || zero.Reveal() != "" || zero.String() != "" || zero.Equal(secret) || !zero.Equal(cache.Secret{}) {
			t.Error("the zero Secret is not the empty one")
		}
	}
	var read login
	if err := json.Unmarshal([]byte(`{"Name":"u","Password":"`+hidden+`"}`), &read); err != nil || read.Password.Reveal() != hidden {
		t.Errorf("Unmarshal: %v", err)
	}
	if data, err := json.Marshal(read); err != nil || string(data) != `{"Name":"u","Password":"[redacted]"}` {
		t.Errorf("Marshal = %s, %v", data, err)
	}
}
