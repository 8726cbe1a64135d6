package checker_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/internal/checker"
)

func TestMain(m *testing.M) {
	checker.RunIfNode()
	os.Exit(goleakRun(m))
}

func goleakRun(m *testing.M) int {
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		println(err.Error())
		return 1
	}
	return code
}
