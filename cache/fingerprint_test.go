package cache_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/codec"
	"github.com/fxcache/fxcache/cache/drivertest"
)

// These are the forms of one struct in several releases. In reality they are types of the same name
// in different builds.
type (
	release1 struct {
		Price int `json:"price"`
		Tags  []string
	}
	renamedType struct {
		Price int `json:"price"`
		Tags  []string
	}
	renamedField struct {
		PriceCents int `json:"price"`
		Tags       []string
	}
	renamedTag struct {
		Price int `json:"price_cents"`
		Tags  []string
	}
	otherKind struct {
		Price float64 `json:"price"`
		Tags  []string
	}
	pointerField struct {
		Price *int `json:"price"`
		Tags  []string
	}
	moreFields struct {
		Price  int `json:"price"`
		Tags   []string
		Active bool
	}
	fewerFields struct {
		Price int `json:"price"`
	}
	otherElement struct {
		Price int `json:"price"`
		Tags  []point
	}
	otherOrder struct {
		Tags  []string
		Price int `json:"price"`
	}
	hiddenField struct {
		Price  int `json:"price"`
		Tags   []string
		cached int //nolint:unused // no codec sees it, and so the form is the same
	}
	embedding  struct{ inner }
	embedding2 struct{ inner2 }
	embeddingN struct{ Inner innerN }
	inner      struct{ A int }
	inner2     struct{ B int }
	innerN     struct{ A int }

	tree struct {
		Name     string
		Children []*tree
	}
	sameTree struct {
		Name     string
		Children []*sameTree
	}
	otherTree struct {
		Name     string
		Children []otherTree
	}
	deepTree struct {
		Name     string
		Children []*deepNode
	}
	deepNode struct {
		Title    string
		Children []*deepTree
	}
	ring           []ring
	atlas          map[string]atlas
	cents          int
	generic[T any] struct{ Value T }

	// text has an encoding of its own in JSON, and no field that a codec sees.
	text      struct{ s string }
	otherText struct{ s string }
)

func (t text) MarshalText() ([]byte, error)       { return []byte(t.s), nil }
func (t *text) UnmarshalText(b []byte) error      { t.s = string(b); return nil }
func (t otherText) MarshalText() ([]byte, error)  { return []byte(t.s), nil }
func (t *otherText) UnmarshalText(b []byte) error { t.s = string(b); return nil }

// writes returns a release that stores a value in cache "c".
func writes[T any](v T, policy cache.Policy[T]) func(t *testing.T, service *cache.Service) {
	return func(t *testing.T, service *cache.Service) {
		t.Helper()
		if err := newCache(t, service, "c", policy).Set(t.Context(), "k", v); err != nil {
			t.Fatal(err)
		}
	}
}

// reads returns a release that reads cache "c" in all ways. It reports whether the entry was a hit
// each time, and replaces it by a fill. If ends is set, it deletes the entry.
func reads[T any](policy cache.Policy[T]) func(t *testing.T, service *cache.Service, ends bool) bool {
	return func(t *testing.T, service *cache.Service, ends bool) bool {
		t.Helper()
		c := newCache(t, service, "c", policy)
		_, found, err := c.Get(t.Context(), "k")
		many, manyErr := c.GetMany(t.Context(), "k")
		if err != nil || manyErr != nil || found != (len(many) == 1) {
			t.Errorf("Get = %v, %v, GetMany = %v, %v", found, err, many, manyErr)
		}
		if ends {
			if err := c.Delete(t.Context(), "k"); err != nil {
				t.Error(err)
			}
			return found
		}
		loaded := false
		if _, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (v T, err error) { loaded = true; return v, nil }); err != nil || loaded == found {
			t.Errorf("GetOrLoad: %v, loaded %v, found %v", err, loaded, found)
		}
		if _, filled, err := c.Get(t.Context(), "k"); !filled || err != nil {
			t.Errorf("after the fill: %v, %v", filled, err)
		}
		return found
	}
}

// An entry that one release stored is a hit for another release only if its form is the same.
// Otherwise it is a miss. It stays until a fill replaces it or a Delete ends it.
func TestReleasesShareAStorage(t *testing.T) {
	t.Parallel()
	v1 := writes(release1{5, nil}, cache.Policy[release1]{})
	for name, test := range map[string]struct {
		write func(*testing.T, *cache.Service)
		read  func(*testing.T, *cache.Service, bool) bool
		hit   bool
	}{
		"the same":           {v1, reads(cache.Policy[release1]{}), true},
		"renamed type":       {v1, reads(cache.Policy[renamedType]{}), true},
		"hidden field":       {v1, reads(cache.Policy[hiddenField]{DropsFields: true}), true},
		"renamed field":      {v1, reads(cache.Policy[renamedField]{}), false},
		"renamed tag":        {v1, reads(cache.Policy[renamedTag]{}), false},
		"another kind":       {v1, reads(cache.Policy[otherKind]{}), false},
		"pointer field":      {v1, reads(cache.Policy[pointerField]{}), false},
		"more fields":        {v1, reads(cache.Policy[moreFields]{}), false},
		"fewer fields":       {v1, reads(cache.Policy[fewerFields]{}), false},
		"other element":      {v1, reads(cache.Policy[otherElement]{}), false},
		"other order":        {v1, reads(cache.Policy[otherOrder]{}), false},
		"pointer":            {v1, reads(cache.Policy[*release1]{}), false},
		"slice":              {v1, reads(cache.Policy[[]release1]{}), false},
		"anything":           {v1, reads(cache.Policy[any]{}), false},
		"map":                {v1, reads(cache.Policy[map[string]any]{}), false},
		"named kind":         {writes(1, cache.Policy[int]{}), reads(cache.Policy[cents]{}), true},
		"map key":            {writes(map[string]int{}, cache.Policy[map[string]int]{}), reads(cache.Policy[map[int]int]{}), false},
		"map value":          {writes(map[string]int{}, cache.Policy[map[string]int]{}), reads(cache.Policy[map[string]bool]{}), false},
		"array":              {writes([2]int{}, cache.Policy[[2]int]{}), reads(cache.Policy[[3]int]{}), false},
		"array and slice":    {writes([2]int{}, cache.Policy[[2]int]{}), reads(cache.Policy[[]int]{}), false},
		"embedded":           {writes(embedding{}, cache.Policy[embedding]{}), reads(cache.Policy[embedding2]{}), false},
		"embedded or not":    {writes(embedding{}, cache.Policy[embedding]{}), reads(cache.Policy[embeddingN]{}), false},
		"tree":               {writes(tree{}, cache.Policy[tree]{}), reads(cache.Policy[sameTree]{}), true},
		"other tree":         {writes(tree{}, cache.Policy[tree]{}), reads(cache.Policy[otherTree]{}), false},
		"tree of two":        {writes(tree{}, cache.Policy[tree]{}), reads(cache.Policy[deepTree]{}), false},
		"tree from its node": {writes(deepTree{}, cache.Policy[deepTree]{}), reads(cache.Policy[deepNode]{}), false},
		"ring":               {writes(ring{}, cache.Policy[ring]{}), reads(cache.Policy[ring]{}), true},
		"atlas":              {writes(atlas{}, cache.Policy[atlas]{}), reads(cache.Policy[atlas]{}), true},
		"generic":            {writes(generic[int]{}, cache.Policy[generic[int]]{}), reads(cache.Policy[generic[int]]{}), true},
		"another generic":    {writes(generic[int]{}, cache.Policy[generic[int]]{}), reads(cache.Policy[generic[string]]{}), false},
		"own encoding":       {writes(text{"a"}, cache.Policy[text]{}), reads(cache.Policy[otherText]{}), false},
		"own encoding, deep": {writes([]generic[text]{}, cache.Policy[[]generic[text]]{}), reads(cache.Policy[[]generic[otherText]]{}), false},
		"time and text":      {writes(time.Time{}, cache.Policy[time.Time]{}), reads(cache.Policy[byValue]{}), false},
		"self":               {writes(byValue{}, cache.Policy[byValue]{}), reads(cache.Policy[byValue]{}), true},
		"another self":       {writes(byValue{}, cache.Policy[byValue]{}), reads(cache.Policy[byPointer]{}), false},
		"self and pointer":   {writes(nil, cache.Policy[*byValue]{}), reads(cache.Policy[byValue]{}), false},

		"a static tag more":   {v1, reads(cache.Policy[release1]{Tags: []string{"y"}}), false},
		"another static tag":  {writes(release1{}, cache.Policy[release1]{Tags: []string{"x"}}), reads(cache.Policy[release1]{Tags: []string{"y"}}), false},
		"static tags, others": {writes(release1{}, cache.Policy[release1]{Tags: []string{"x y"}}), reads(cache.Policy[release1]{Tags: []string{"x", "y"}}), false},
		"static tags, order":  {writes(release1{}, cache.Policy[release1]{Tags: []string{"x", "y"}}), reads(cache.Policy[release1]{Tags: []string{"y", "x", "y"}}), true},
		"another TTL":         {v1, reads(cache.Policy[release1]{TTL: time.Minute, StaleFor: time.Hour}), true},

		"Version":             {v1, reads(cache.Policy[release1]{Version: "2"}), false},
		"another Version":     {writes(release1{}, cache.Policy[release1]{Version: "1"}), reads(cache.Policy[release1]{Version: "2"}), false},
		"Version, not a type": {writes(release1{}, cache.Policy[release1]{Version: "2"}), reads(cache.Policy[moreFields]{Version: "2"}), true},
		"Version of a self":   {writes(byValue{}, cache.Policy[byValue]{}), reads(cache.Policy[byValue]{Version: "2"}), false},
		"Version and tags":    {writes(release1{}, cache.Policy[release1]{Version: "2"}), reads(cache.Policy[release1]{Version: "2", Tags: []string{"y"}}), false},
	} {
		for _, ends := range []bool{false, true} {
			for _, kind := range kinds[:2] {
				name := fmt.Sprintf("%s over %s, Delete %v", name, kind.name, ends)
				storage, recorder := drivertest.Record(kind.make(t))
				before := start(t, storage, cache.Options{})
				after := peer(t, storage, cache.Options{})
				test.write(t, before)
				written, _, _ := storage.Get(t.Context(), "app:c:k")
				recorder.Reset()
				if hit := test.read(t, after, ends); hit != test.hit {
					t.Errorf("%s: a hit: %v", name, hit)
				}
				stats := after.Stats()
				if want := map[bool]uint64{true: 0, false: 2}[test.hit]; stats.Corrupt != 0 || stats.Foreign < want || test.hit && stats.Foreign != 0 || stats.LeaseTimeouts != 0 {
					t.Errorf("%s: %+v", name, stats)
				}
				now, found, err := storage.Get(t.Context(), "app:c:k")
				if found == ends || err != nil || !ends && slices.Equal(now, written) != test.hit {
					t.Errorf("%s: in the storage: found %v, %v, replaced %v", name, found, err, !slices.Equal(now, written))
				}
				if n := recorder.Count(drivertest.OpDelete); n != map[bool]int{true: 1}[ends] {
					t.Errorf("%s: %d deletions", name, n)
				}
			}
		}
	}
}

// Another codec is another form, also for the values of Service itself.
func TestCodecsShareAStorage(t *testing.T) {
	t.Parallel()
	for _, name := range codec.Names() {
		storage := new(table)
		chosen, err := codec.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		before, after := start(t, storage, cache.Options{Codec: chosen}), start(t, storage, cache.Options{})
		mustSet(t, before, "k", 1, cache.SetOptions{})
		if found, err := after.Get(t.Context(), "k", new(int)); found != (name == "json") || err != nil {
			t.Errorf("%s is read as JSON: %v, %v", name, found, err)
		}
		mustMiss(t, start(t, storage, cache.Options{Codec: brittle{}, Namespace: "other"}), "k")
		if found, err := before.Get(t.Context(), "k", new(int)); !found || err != nil {
			t.Errorf("%s: it was not left alone: %v, %v", name, found, err)
		}
	}
}

// A value that Service stored as one type is a miss as another type. Outer pointers do not matter,
// and an interface takes any value.
func TestUntypedValues(t *testing.T) {
	t.Parallel()
	type loop *loop
	for name, test := range map[string]struct {
		value, target any
		hit           bool
	}{
		"the same":          {release1{}, new(release1), true},
		"renamed type":      {release1{}, new(renamedType), true},
		"renamed field":     {release1{}, new(renamedField), false},
		"pointer":           {&release1{}, new(release1), true},
		"into a pointer":    {release1{}, new(*release1), true},
		"into two pointers": {&release1{}, new(**release1), true},
		"any":               {release1{}, new(any), true},
		"a pointer to any":  {release1{}, new(*any), true},
		"map":               {release1{}, new(map[string]any), false},
		"nil into any":      {nil, new(any), true},
		"nil into a struct": {nil, new(release1), false},
		"self":              {byValue{"x"}, new(byValue), true},
		"pointer to a self": {&byValue{"x"}, new(byValue), true},
		"self into pointer": {byValue{"x"}, new(*byValue), true},
		"another self":      {byValue{"x"}, new(byPointer), false},
		"self into any":     {byValue{"x"}, new(any), false},
		"endless pointers":  {loop(nil), new(loop), true},
	} {
		storage := new(table)
		service := start(t, storage, cache.Options{})
		mustSet(t, service, "k", test.value, cache.SetOptions{})
		if found, err := service.Get(t.Context(), "k", test.target); found != test.hit || err != nil {
			t.Errorf("%s: Get = %v, %v", name, found, err)
		}
		if _, kept := storage.row("app::k"); !kept {
			t.Errorf("%s: the entry is gone", name)
		}
		if stats := service.Stats(); stats.Corrupt != 0 || stats.Foreign == 0 != test.hit {
			t.Errorf("%s: %+v", name, stats)
		}
	}
}

// ErrNotFound was remembered without the tag, so it is a miss for a cache that relies on the tag.
func TestAbsenceWithoutAStaticTag(t *testing.T) {
	t.Parallel()
	storage := newBigcache(t)
	before := newCache(t, start(t, storage, cache.Options{}), "c", cache.Policy[int]{NegativeTTL: time.Hour})
	after := newCache(t, peer(t, storage, cache.Options{}), "c", cache.Policy[int]{NegativeTTL: time.Hour, Tags: []string{"y"}})
	mustFindNothing(t, before, nothing)
	if got, err := after.GetOrLoad(t.Context(), "k", value(7)); got != 7 || err != nil {
		t.Errorf("GetOrLoad = %v, %v", got, err)
	}
}

// everything is a type with parts of every kind.
type everything struct {
	A int `json:"a,omitempty"`
	B map[string][]*everything
	C [3]generic[time.Duration]
	D any
	time.Time
	E  struct{ F, G uint8 }
	fn func() //nolint:unused // likewise
}

// Fingerprints are the same in every process, build and release. These must never change: otherwise
// a deployment would empty every cache.
func TestFingerprintsStay(t *testing.T) {
	t.Parallel()
	storage := new(table)
	service := start(t, storage, cache.Options{})
	var got []string
	note := func(err error) {
		t.Helper()
		row, _ := storage.row("app:c" + fmt.Sprint(len(got)) + ":k")
		if err != nil || len(row.value) < envelope {
			t.Fatalf("% x, %v", row.value, err)
		}
		got = append(got, hex.EncodeToString(row.value[2:envelope]))
	}
	name := func() string { return "c" + fmt.Sprint(len(got)) }
	note(newCache(t, service, name(), cache.Policy[everything]{DropsFields: true}).Set(t.Context(), "k", everything{}))
	note(newCache(t, service, name(), cache.Policy[tree]{}).Set(t.Context(), "k", tree{}))
	note(newCache(t, service, name(), cache.Policy[[]byte]{Tags: []string{"b", "a"}}).Set(t.Context(), "k", nil))
	note(newCache(t, service, name(), cache.Policy[*byPointer]{}).Set(t.Context(), "k", nil))
	note(newCache(t, service, name(), cache.Policy[int]{Version: "7"}).Set(t.Context(), "k", 1))
	if want := []string{"2260b183", "cd63bf3c", "d29effd9", "f3227593", "32ffb09b"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
