package sessiontest

import (
	"context"
	"testing"

	"github.com/fxcache/fxcache/sessioncache"
)

// races revokes a session while a load or write has done its work in the database but has not
// returned. The revocation must win, whatever its form.
func (s suite) races(t *testing.T) {
	revocations := map[string]func(context.Context, sessioncache.Sessions) error{
		"delete": func(ctx context.Context, s sessioncache.Sessions) error { return s.Delete(ctx, "token") },
		"user":   func(ctx context.Context, s sessioncache.Sessions) error { return s.DeleteUser(ctx, "42") },
		"tag":    func(ctx context.Context, s sessioncache.Sessions) error { return s.InvalidateTags(ctx, "role:admin") },
		"clear":  func(ctx context.Context, s sessioncache.Sessions) error { return s.Clear(ctx) },
	}
	calls := map[string]func(context.Context, sessioncache.Sessions, sessioncache.Load) error{
		"load": func(ctx context.Context, s sessioncache.Sessions, load sessioncache.Load) error {
			_, _, err := s.GetOrLoad(ctx, "token", load)
			return err
		},
		"update": func(ctx context.Context, s sessioncache.Sessions, load sessioncache.Load) error {
			_, err := s.Update(ctx, "token", load)
			return err
		},
	}
	for what, call := range calls {
		for how, revoke := range revocations {
			t.Run(what+" against "+how, func(t *testing.T) {
				t.Parallel()
				u, sessions := s.sessions(t)
				held := u.session("token")
				held.CustomFields = map[string]any{"roles": []string{"admin"}}
				must(t, call(t.Context(), sessions, func(ctx context.Context) (*sessioncache.CachedSession, error) {
					// The row has been read. Revoke the session before it is returned.
					return held, revoke(ctx, sessions)
				}))
				u.wantFound(false, "token", "although it was revoked while it was being stored")
			})
		}
	}
	// A caller that comes after a revocation must not be served by a load that began before it.
	for how, revoke := range revocations {
		t.Run("late caller after "+how, func(t *testing.T) {
			t.Parallel()
			u, sessions := s.sessions(t)
			held := u.session("token")
			held.CustomFields = map[string]any{"roles": []string{"admin"}}
			reading, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				_, _, _ = sessions.GetOrLoad(t.Context(), "token", func(context.Context) (*sessioncache.CachedSession, error) {
					close(reading)
					<-release
					return held, nil
				})
			}()
			<-reading
			must(t, revoke(t.Context(), sessions)) // the row is gone too
			late := make(chan bool)
			go func() {
				_, found, err := sessions.GetOrLoad(t.Context(), "token", (&database{}).load)
				if err != nil {
					t.Error(err)
				}
				late <- found
			}()
			close(release)
			<-done
			if <-late {
				t.Error("a caller that came after the revocation was given the revoked session")
			}
		})
	}
}
