package redistest_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fxcache/fxcache/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually polls until is returns true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// within fails the test if done is not closed in time.
func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("never: %s", what)
	}
}

// doer is a Server or a Conn.
type doer interface {
	Do(ctx context.Context, args ...any) (any, error)
}

// wantReply runs a command that must succeed with that reply.
func wantReply(t *testing.T, on doer, want any, args ...any) {
	t.Helper()
	got, err := on.Do(t.Context(), args...)
	if err != nil || got != want {
		t.Fatalf("%v: got %v, %v, want %v", args, got, err, want)
	}
}

// dial connects without credentials of any kind but the certificate.
func dial(t *testing.T, s *redistest.Server) *redistest.Conn {
	t.Helper()
	conn, err := redistest.Dial(t.Context(), s.Addr(), s.TLSConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}
