package shop

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

// This test is in the package because hashes are private to it.
func TestPasswords(t *testing.T) {
	t.Parallel()
	p, ctx := newPasswords(), t.Context()
	long := strings.Repeat("x", 100) // bcrypt would use only 72 bytes of it
	hashes := make(map[string]bool)
	for _, password := range []string{"", "a", "pässwörd", long, long + "y", long} {
		encoded, err := p.hash(ctx, password)
		if err != nil || !strings.HasPrefix(encoded, "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Fatalf("hash: %q, %v", encoded, err)
		}
		if hashes[encoded] {
			t.Error("two hashes are equal")
		}
		hashes[encoded] = true
		if matches, err := p.verify(ctx, encoded, password); err != nil || !matches {
			t.Errorf("the password does not match its own hash: %v", err)
		}
		if matches, err := p.verify(ctx, encoded, password+"z"); err != nil || matches {
			t.Errorf("another password matches: %v", err)
		}
	}
	if matches, err := p.verify(ctx, nobodysHash, ""); err != nil || matches {
		t.Errorf("nobody's hash: %v, %v", matches, err)
	}
	for _, damaged := range []string{"", "admin", argonPrefix, argonPrefix + "AAAA", argonPrefix + "AAAA$!", "$2a$10$abc$def"} {
		if matches, err := p.verify(ctx, damaged, ""); matches || err == nil {
			t.Errorf("%q is accepted as a hash", damaged)
		}
	}
}

// TestPasswordsWait: if all slots are taken, a login waits until its client gives up.
func TestPasswordsWait(t *testing.T) {
	t.Parallel()
	p := newPasswords()
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.hash(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("hash: %v", err)
	}
}

// TestPasswordsTurnAway: a login that would wait long is refused at once, and a client that has
// left does not keep its place.
func TestPasswordsTurnAway(t *testing.T) {
	t.Parallel()
	p := newPasswords()
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	for range cap(p.queue) {
		go func() {
			_, err := p.hash(ctx, "a")
			left <- err
		}()
	}
	for len(p.queue) < cap(p.queue) {
		runtime.Gosched()
	}
	brief, done := context.WithTimeout(t.Context(), time.Second) // reached only if the code is broken
	defer done()
	if _, err := p.hash(brief, "a"); !errors.Is(err, ErrBusy) {
		t.Errorf("with a full queue: %v, want ErrBusy", err)
	}
	cancel()
	for range cap(p.queue) {
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the client that left: %v", err)
		}
	}
	<-p.slots
	if _, err := p.hash(t.Context(), "a"); err != nil {
		t.Errorf("with a free slot: %v", err)
	}
}

func TestIsToken(t *testing.T) {
	t.Parallel()
	for range 100 {
		if token := NewToken(); !IsToken(token) {
			t.Errorf("%q is none", token)
		}
	}
	token := NewToken()
	for _, text := range []string{"", "x", token[:42], token + "A", token[:42] + "=", token[:42] + "\n", token[:42] + "B", " " + token[1:], token[:42] + "\x00", strings.Repeat("A", 1<<16)} {
		if IsToken(text) {
			t.Errorf("%.60q is one", text)
		}
	}
}
