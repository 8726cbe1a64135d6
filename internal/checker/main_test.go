package checker_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/internal/checker"
)

func TestMain(m *testing.M) {
	checker.RunIfNode() // this may be a process of the fleet
	goleak.VerifyTestMain(m)
}
