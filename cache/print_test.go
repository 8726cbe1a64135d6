package cache_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// said is an error with this text.
type said string

func (s said) Error() string { return string(s) }

// confiding quotes the value in its errors, as codecs do.
type confiding struct{ cache.JSON }

func (confiding) Append([]byte, any) ([]byte, error) { return nil, said("cannot encode " + hidden) }

// Types that hold keys, tags, values or the value of a panic never show them: not with any verb or
// flag of fmt, not in a log, and not in any encoding.
func TestNothingPrintsWhatItHolds(t *testing.T) {
	t.Parallel()
	service := start(t, newBigcache(t), cache.Options{Logger: slog.New(slog.DiscardHandler)})
	texts, err := cache.New(service, "texts", cache.Policy[string]{Tags: []string{"tag"}})
	if err != nil {
		t.Fatal(err)
	}
	_, panicked := texts.GetOrLoad(t.Context(), hidden, func(context.Context) (string, error) { panic(hidden) })
	var bare *cache.PanicError
	if !errors.As(panicked, &bare) || bare.Value != hidden {
		t.Fatalf("%v is no panic", panicked)
	}
	confidential := start(t, newBigcache(t), cache.Options{Codec: confiding{}})
	unencoded := confidential.Set(t.Context(), hidden, "v", cache.SetOptions{})
	var inner *cache.Error
	if !errors.As(unencoded, &inner) {
		t.Fatal(unencoded)
	}
	lease := &driver.Lease{Key: hidden, State: hidden}
	values := map[string]any{
		"lease": lease, "lease, by value": *lease, "leases": []driver.Lease{*lease}, "panic": bare, "panics": []error{bare}, "of a loader": panicked,
		"codec": unencoded, "codec, unwrapped": inner.Err, "batch": &cache.BatchError{Failed: map[string]error{hidden: errors.New("x")}, Of: 1},
		"pending": &cache.PendingError{Err: errors.New("x"), Until: time.Unix(0, 0)}, "service": service, "cache": texts,
	}
	encoded := fmt.Sprintf("%x", hidden)
	bytewise := strings.Trim(fmt.Sprintf("%v", []byte(hidden)), "[]")
	for name, value := range values {
		check := func(how, text string) {
			t.Helper()
			if strings.Contains(text, hidden) || strings.Contains(strings.ToLower(text), encoded) || strings.Contains(text, bytewise) {
				t.Errorf("%s, %s: %s", name, how, text)
			}
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%b", "%o", "%U", "%c", "%e", "%10.200s", "% x", "%#q"} {
			check(verb, fmt.Sprintf(verb, value))
		}
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", value, slog.Group("g", "v", value))
		slog.New(slog.NewJSONHandler(&out, nil)).With("w", value).Info("m", "v", value, "list", []any{value})
		check("slog", out.String())
		if text, err := json.Marshal(value); err == nil {
			check("JSON", string(text))
		}
		out.Reset()
		_ = gob.NewEncoder(&out).Encode(value)
		check("gob", out.String())
		if name == "service" || name == "cache" {
			continue // yaml descends into what it cannot encode
		}
		if text, err := yaml.Marshal(value); err == nil {
			check("YAML", string(text))
		}
	}
}
