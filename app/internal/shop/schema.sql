CREATE TABLE IF NOT EXISTS roles (
	code TEXT PRIMARY KEY
) STRICT;

CREATE TABLE IF NOT EXISTS role_permissions (
	role       TEXT NOT NULL REFERENCES roles (code) ON DELETE CASCADE,
	permission TEXT NOT NULL,
	PRIMARY KEY (role, permission)
) STRICT;

CREATE TABLE IF NOT EXISTS users (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	identifier TEXT NOT NULL UNIQUE,
	password   TEXT NOT NULL -- argon2id, in the PHC format
) STRICT;

CREATE TABLE IF NOT EXISTS user_roles (
	user INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	role TEXT NOT NULL REFERENCES roles (code) ON DELETE CASCADE,
	PRIMARY KEY (user, role)
) STRICT;

CREATE TABLE IF NOT EXISTS sessions (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	token_hash BLOB NOT NULL UNIQUE, -- SHA-256: a reader of this table cannot log in with it
	user       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	created    INTEGER NOT NULL, -- Unix milliseconds, like all times
	expires    INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS sessions_user ON sessions (user);
CREATE INDEX IF NOT EXISTS sessions_expires ON sessions (expires);

CREATE TABLE IF NOT EXISTS products (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	name        TEXT NOT NULL,
	price_cents INTEGER NOT NULL CHECK (price_cents >= 0)
) STRICT;

-- Pending revocations: entries that the cache must not serve but could not delete yet. See outbox.go.
CREATE TABLE IF NOT EXISTS pending_revocations (
	owner   BLOB NOT NULL, -- the instance that has to apply it
	storage TEXT NOT NULL, -- the storage it applies to, as the cache names it
	key     BLOB NOT NULL, -- any bytes: the cache hashes session tokens
	tag     BLOB NOT NULL,
	until   INTEGER NOT NULL, -- Unix seconds: all entries it applies to have expired by then
	PRIMARY KEY (owner, storage, key, tag)
) STRICT;
