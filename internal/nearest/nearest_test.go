package nearest_test

import (
	"testing"

	"github.com/fxcache/fxcache/internal/nearest"
)

func TestTo(t *testing.T) {
	t.Parallel()
	names := []string{"products", "sessions", "ttl"}
	for _, test := range []struct {
		key   string
		limit int
		want  string
	}{
		{"prodcts", 8, "products"},
		{"SESSIONS", 8, "sessions"},
		{"tlt", 2, "ttl"},         // two letters swapped are one mistake
		{"prdcts", 8, "products"}, // a third of the letters may be wrong
		{"prdcts", 1, ""},         // but no more than limit
		{"orders", 8, ""},         // another word
		{"", 8, ""},
	} {
		if got := nearest.To(test.key, names, test.limit); got != test.want {
			t.Errorf("To(%q, …, %d) = %q, want %q", test.key, test.limit, got, test.want)
		}
	}
}
