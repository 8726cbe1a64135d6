package shop

import (
	"context"
	"database/sql"
	"errors"

	"github.com/fxcache/fxcache/sessioncache"
)

// ErrLogin is returned by Authenticate for a wrong password and for an unknown user alike.
var ErrLogin = errors.New("the identifier or the password is wrong")

// Authenticate returns the ID of the user with that password. It may return ErrBusy. An unknown
// user costs the same hash as a wrong password: the response time must not reveal who has an
// account.
func (s *Store) Authenticate(ctx context.Context, identifier, password string) (sessioncache.ID, error) {
	var id sessioncache.ID
	encoded := nobodysHash
	err := s.db.QueryRowContext(ctx, `SELECT CAST(id AS TEXT), password FROM users WHERE identifier = ?`, identifier).Scan(&id, &encoded)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", err
	}
	matches, failure := s.passwords.verify(ctx, encoded, password)
	switch {
	case failure != nil:
		return "", failure
	case err != nil || !matches:
		return "", ErrLogin
	}
	return id, nil
}

// AddUser makes an account with one role, which must exist.
func (s *Store) AddUser(ctx context.Context, identifier, password, role string) error {
	encoded, err := s.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error { return addUser(ctx, tx, identifier, encoded, role) })
}

func addUser(ctx context.Context, tx *sql.Tx, identifier, encoded, role string) error {
	var id int64
	err := tx.QueryRowContext(ctx, `INSERT INTO users (identifier, password) VALUES (?, ?) RETURNING id`, identifier, encoded).Scan(&id)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO user_roles (user, role) VALUES (?, ?)`, id, role)
	return err
}
