package shop

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Argon2id rather than bcrypt: it needs memory, which makes guessing on graphics cards expensive,
// and bcrypt refuses passwords longer than 72 bytes. The parameters are the second set of the OWASP
// Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane.
const (
	argonMemory  = 19 * 1024 // KiB
	argonPasses  = 2
	argonLanes   = 1
	argonSaltLen = 16
	argonKeyLen  = 32
)

// argonPrefix starts every hash. A hash with another prefix was made with other parameters.
var argonPrefix = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, argonMemory, argonPasses, argonLanes)

// nobodysHash is a hash without a known password: its key is all zeros.
var nobodysHash = encodeHash(make([]byte, argonSaltLen), make([]byte, argonKeyLen))

// ErrBusy is returned by Authenticate and AddUser if too many requests wait for their password to
// be hashed.
var ErrBusy = errors.New("too many log-ins at once")

// waiting is how many requests may wait for each hash that is being computed. With this limit they
// wait for less than a second.
const waiting = 16

// passwords computes no more hashes at once than there are processors. Each hash takes 19 MiB, so a
// flood of logins could otherwise use up the memory. A request that would have to wait long is
// refused at once. Otherwise the work would continue after the clients that caused it have left.
type passwords struct {
	slots chan struct{} // capacity: the hashes being computed
	queue chan struct{} // capacity: those and the waiting requests
}

func newPasswords() *passwords {
	slots := runtime.GOMAXPROCS(0)
	return &passwords{make(chan struct{}, slots), make(chan struct{}, slots*(1+waiting))}
}

// hash returns password in the PHC format: $argon2id$v=19$m=…,t=…,p=…$salt$key.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, argonSaltLen)
	_, _ = rand.Read(salt) // never returns an error: it ends the program instead
	key, err := p.derive(ctx, password, salt)
	if err != nil {
		return "", err
	}
	return encodeHash(salt, key), nil
}

// verify reports whether encoded is a hash of password.
func (p *passwords) verify(ctx context.Context, encoded, password string) (bool, error) {
	salt, want, err := decodeHash(encoded)
	if err != nil {
		return false, err
	}
	key, err := p.derive(ctx, password, salt)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(key, want) == 1, nil
}

func (p *passwords) derive(ctx context.Context, password string, salt []byte) ([]byte, error) {
	select {
	case p.queue <- struct{}{}:
		defer func() { <-p.queue }()
	default:
		return nil, ErrBusy
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return argon2.IDKey([]byte(password), salt, argonPasses, argonMemory, argonLanes, argonKeyLen), nil
}

func encodeHash(salt, key []byte) string {
	encode := base64.RawStdEncoding.EncodeToString
	return argonPrefix + encode(salt) + "$" + encode(key)
}

func decodeHash(encoded string) (salt, key []byte, err error) {
	rest, known := strings.CutPrefix(encoded, argonPrefix)
	first, second, complete := strings.Cut(rest, "$")
	if !known || !complete {
		return nil, nil, errors.New("a password hash in the database has an unknown format")
	}
	if salt, err = base64.RawStdEncoding.DecodeString(first); err != nil {
		return nil, nil, err
	}
	key, err = base64.RawStdEncoding.DecodeString(second)
	return salt, key, err
}
