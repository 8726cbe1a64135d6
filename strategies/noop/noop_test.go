package noop_test

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/cache/drivertest"
	"github.com/fxcache/fxcache/strategies/noop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fresh(testing.TB) driver.Strategy { return noop.Strategy{} }

func TestConformance(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, fresh, drivertest.NoRetention())
}

func BenchmarkStrategy(b *testing.B) {
	drivertest.RunBenchmarks(b, fresh, drivertest.NoRetention())
}

// Everybody gets a lease: were there one holder, the others would wait for a value that never
// comes.
func TestEverybodyGetsALease(t *testing.T) {
	t.Parallel()
	for range 3 {
		_, found, lease, err := noop.Strategy{}.GetOrLease(t.Context(), "key")
		if found || lease == nil || err != nil {
			t.Errorf("GetOrLease: found %t, lease %t, error %v", found, lease != nil, err)
		}
	}
	stored, err := noop.Strategy{}.Fill(t.Context(), nil, nil, driver.SetOptions{TTL: -1})
	if stored || !errors.Is(err, driver.ErrInvalidTTL) {
		t.Errorf("Fill with a negative TTL: stored %t, error %v", stored, err)
	}
}

// section is a section of the configuration that cannot be read, or is empty.
type section struct{ err error }

func (s section) Decode(any) error { return s.err }

func TestFactory(t *testing.T) {
	t.Parallel()
	factory := noop.Factory()
	if strategy, err := factory.New(section{}); strategy != (noop.Strategy{}) || err != nil || factory.Name != "noop" {
		t.Errorf("%s: %T, error %v", factory.Name, strategy, err)
	}
	broken := errors.New("unknown key")
	if strategy, err := factory.New(section{broken}); strategy != nil || !errors.Is(err, broken) {
		t.Errorf("a section that cannot be read: %T, error %v", strategy, err)
	}
}
