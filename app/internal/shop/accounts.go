package shop

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/fxcache/fxcache/cache"
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

// SetPermissions replaces the permissions of role.
func (s *Store) SetPermissions(ctx context.Context, role string, permissions []string) error {
	return s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var known bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM roles WHERE code = ?)`, role).Scan(&known); err != nil {
			return err
		}
		if !known {
			return cache.ErrNotFound
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM role_permissions WHERE role = ?`, role); err != nil {
			return err
		}
		for _, permission := range permissions {
			if _, err := tx.ExecContext(ctx, `INSERT INTO role_permissions (role, permission) VALUES (?, ?)`, role, permission); err != nil {
				return err
			}
		}
		return nil
	})
}

const (
	// SessionDuration is how long an unused session lives. A session in use is renewed when less
	// than half of it is left.
	SessionDuration = 24 * time.Hour
	// SessionLimit is the maximum age of a session.
	SessionLimit = 30 * 24 * time.Hour
	// Channel is the only channel of this shop, see sessioncache.ChannelPermissions.
	Channel sessioncache.ID = "default"
	// rolesField is the custom field of a cached session that holds the user's roles.
	rolesField = "roles"
)

// NewToken returns a session token of 256 random bits.
func NewToken() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never returns an error: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// IsToken reports whether text has the form of a token from NewToken. Any other text is refused
// without asking the cache or the database.
func IsToken(text string) bool {
	random, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(random) == 32
}

// StartSession makes a session of user with the given token, and ends the session with the token
// old. ended reports whether there was one.
func (s *Store) StartSession(ctx context.Context, token string, user sessioncache.ID, old string) (session *sessioncache.CachedSession, ended bool, err error) {
	err = s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now := time.Now()
		// Expired sessions have to be deleted at some time, and logins are rare.
		if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE expires <= ?`, now.UnixMilli()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO sessions (token_hash, user, created, expires) VALUES (?, ?, ?, ?)`,
			hash(token), user, now.UnixMilli(), now.Add(SessionDuration).UnixMilli()); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE token_hash = ?`, hash(old))
		if err != nil {
			return err
		}
		rows, err := result.RowsAffected()
		if err != nil {
			return err
		}
		ended = rows > 0
		session, err = sessionOf(ctx, tx, token)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return session, ended, nil
}

// Session returns the current state of the session with that token.
func (s *Store) Session(ctx context.Context, token string) (*sessioncache.CachedSession, error) {
	return sessionOf(ctx, s.db, token)
}

// RenewSession prolongs the session with that token by SessionDuration from now, but never beyond
// SessionLimit, and returns it.
func (s *Store) RenewSession(ctx context.Context, token string) (session *sessioncache.CachedSession, err error) {
	err = s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now := time.Now()
		if _, err := tx.ExecContext(ctx, `UPDATE sessions SET expires = min(?, created + ?) WHERE token_hash = ? AND expires > ?`,
			now.Add(SessionDuration).UnixMilli(), SessionLimit.Milliseconds(), hash(token), now.UnixMilli()); err != nil {
			return err
		}
		// If the session is gone, the UPDATE changes nothing, and this finds nothing.
		session, err = sessionOf(ctx, tx, token)
		return err
	})
	return session, err
}

// EndSession deletes the session with that token. known reports whether there was one. For an
// unknown token it takes no write lock, because strangers can send any number of those.
func (s *Store) EndSession(ctx context.Context, token string) (known bool, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sessions WHERE token_hash = ?)`, hash(token)).Scan(&known)
	if err != nil || !known {
		return false, err
	}
	_, err = s.db.ExecContext(ctx, `DELETE FROM sessions WHERE token_hash = ?`, hash(token))
	return true, err
}

// EndSessions deletes all sessions of user.
func (s *Store) EndSessions(ctx context.Context, user sessioncache.ID) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM sessions WHERE user = ?`, user)
	return err
}

// sessionOf reads everything about a session in one statement, which sees a single state of the
// database. Separate statements could combine the roles from before a change with the permissions
// from after it.
func sessionOf(ctx context.Context, q querier, token string) (*sessioncache.CachedSession, error) {
	session := &sessioncache.CachedSession{AuthenticationStrategy: "password", User: &sessioncache.User{}}
	var expires int64
	var roleList, permissionList []byte
	err := q.QueryRowContext(ctx, `
		SELECT s.id, s.expires, u.id, u.identifier,
			(SELECT json_group_array(role) FROM user_roles WHERE user = u.id),
			(SELECT json_group_array(DISTINCT permission) FROM user_roles JOIN role_permissions USING (role) WHERE user = u.id)
		FROM sessions s JOIN users u ON u.id = s.user
		WHERE s.token_hash = ? AND s.expires > ?`, hash(token), time.Now().UnixMilli()).
		Scan(&session.ID, &expires, &session.User.ID, &session.User.Identifier, &roleList, &permissionList)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, cache.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	var roles, permissions []string
	if err := errors.Join(json.Unmarshal(roleList, &roles), json.Unmarshal(permissionList, &permissions)); err != nil {
		return nil, err
	}
	slices.Sort(roles)
	slices.Sort(permissions)
	session.Expires = time.UnixMilli(expires)
	session.User.ChannelPermissions = []sessioncache.ChannelPermissions{
		{ID: Channel, Code: string(Channel), Permissions: permissions},
	}
	session.CustomFields = map[string]any{rolesField: roles}
	return session, nil
}

// Roles returns the codes of the user's roles.
func Roles(session *sessioncache.CachedSession) []string {
	roles, _ := session.CustomFields[rolesField].([]string)
	return roles
}

// RoleTag returns the tag of all cached sessions whose user has the role.
func RoleTag(role string) string { return "role:" + role }

// SessionTags returns the tags of a cached session: one for each role of its user.
func SessionTags(session *sessioncache.CachedSession) []string {
	tags := make([]string, 0, 4)
	for _, role := range Roles(session) {
		tags = append(tags, RoleTag(role))
	}
	return tags
}

// hash returns the form in which the database stores a token. It needs no salt, because tokens are
// random.
func hash(token string) []byte {
	digest := sha256.Sum256([]byte(token))
	return digest[:]
}
