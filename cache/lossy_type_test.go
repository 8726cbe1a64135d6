package cache_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fxcache/fxcache/cache"
)

type (
	lossyOrder struct {
		Customer *lossyCustomer
		Parent   *lossyOrder
		Name     string
	}
	lossyCustomer struct {
		Name   string
		secret string
		Note   string `json:"-"`
	}
	lossyShop struct {
		Orders []lossyOrder
		ByName map[string]lossyOrder
		Lock   struct{ held bool }
	}
)

// New names the way to each part that does not come back, once for each type.
func TestNewNamesWhatIsLost(t *testing.T) {
	t.Parallel()
	service := newService(t, new(table), cache.Options{})
	names := func(err error) (names []string) {
		for _, line := range strings.Split(err.Error(), "\n") {
			name, reason, _ := strings.Cut(strings.TrimPrefix(line, `cache "c": `), ": ")
			if reason == "" {
				t.Errorf("no reason in %q", line)
			}
			names = append(names, name)
		}
		return names
	}
	_, err := cache.New(service, "c", cache.Policy[[]lossyShop]{})
	want := []string{"T[].Lock", "T[].Orders[].Customer.Note", "T[].Orders[].Customer.secret"}
	var option *cache.OptionError
	if !errors.As(err, &option) {
		t.Fatal(err)
	}
	got := names(err)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("%q, want %q\n%v", got, want, err)
	}
	// What never comes back is refused all the same.
	_, err = cache.New(service, "c", cache.Policy[[]lossyShop]{DropsFields: true})
	if err == nil || !slices.Equal(names(err), want[:1]) {
		t.Errorf("with DropsFields: %v", err)
	}
	if _, err := cache.New(service, "c", cache.Policy[*lossyOrder]{DropsFields: true}); err != nil {
		t.Errorf("DropsFields: %v", err)
	}
}

// With DropsFields, the rest comes back.
func TestDropsFields(t *testing.T) {
	t.Parallel()
	service := start(t, newBigcache(t), cache.Options{})
	c := newCache(t, service, "c", cache.Policy[lossyCustomer]{DropsFields: true})
	whole := lossyCustomer{"a", "b", "c"}
	if got, err := c.GetOrLoad(t.Context(), "k", value(whole)); got != whole || err != nil {
		t.Errorf("GetOrLoad = %v, %v", got, err)
	}
	if got, found, err := c.Get(t.Context(), "k"); got != (lossyCustomer{Name: "a"}) || !found || err != nil {
		t.Errorf("Get = %v, %v, %v", got, found, err)
	}
}

// A loaded value that would come back as another one reaches its caller, is not stored, replaces
// what there was, and is counted and logged with the name of the cache and the way to the fault.
func TestValueThatWouldChange(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	service := start(t, newBigcache(t), cache.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	c := newCache(t, service, "customers", cache.Policy[[]string]{Fresh: func(v []string) bool { return v[0] != "old" }})
	if err := c.Set(t.Context(), "k", []string{"old"}); err != nil {
		t.Fatal(err)
	}
	changed := []string{"SECRET\xff"}
	if got, err := c.GetOrLoad(t.Context(), "k", value(changed)); !reflect.DeepEqual(got, changed) || err != nil {
		t.Errorf("GetOrLoad = %q, %v", got, err)
	}
	if got, found, err := c.Get(t.Context(), "k"); found || err != nil {
		t.Errorf("Get = %q, %v, %v", got, found, err)
	}
	if stats := service.Stats(); stats.Unstorable != 1 {
		t.Errorf("%+v", stats)
	}
	for _, want := range []string{"customers", "T[] is not valid UTF-8", "cannot be stored"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in %s", want, &log)
		}
	}
	if err := c.Set(t.Context(), "k", changed); !errors.Is(err, cache.ErrEncoding) || !strings.Contains(err.Error(), "T[] is not valid UTF-8") {
		t.Errorf("Set: %v", err)
	}
	if strings.Contains(log.String(), "SECRET") {
		t.Errorf("a value is in the log: %s", &log)
	}
}

// foreignCodec is a codec that says nothing about types.
type foreignCodec struct{}

func (foreignCodec) Name() string { return "foreign" }
func (foreignCodec) Append(dst []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(dst, data...), err
}
func (foreignCodec) Unmarshal(data []byte, target any) error { return json.Unmarshal(data, target) }

// A codec that says nothing about types is not suspected of anything.
func TestForeignCodec(t *testing.T) {
	t.Parallel()
	service := start(t, newBigcache(t), cache.Options{Codec: foreignCodec{}})
	c := newCache(t, service, "c", cache.Policy[lossyShop]{})
	if err := c.Set(t.Context(), "k", lossyShop{}); err != nil {
		t.Error(err)
	}
	if got, found, err := c.Get(t.Context(), "k"); !found || err != nil || got.Orders != nil {
		t.Errorf("Get = %v, %v, %v", got, found, err)
	}
}
