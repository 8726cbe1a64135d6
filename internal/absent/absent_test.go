package absent_test

import (
	"testing"

	"github.com/fxcache/fxcache/internal/absent"
)

func TestIs(t *testing.T) {
	t.Parallel()
	for _, nothing := range []any{nil, (*int)(nil), (func())(nil)} {
		if !absent.Is(nothing) {
			t.Errorf("%T is something", nothing)
		}
	}
	for _, something := range []any{0, "", struct{}{}, new(int), func() {}, []int(nil), map[string]int(nil)} {
		if absent.Is(something) {
			t.Errorf("%T is nothing", something)
		}
	}
}
