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
	token_hash BLOB NOT NULL UNIQUE, -- SHA-256: who reads this table cannot log in with it
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

-- What the cache must not serve any more and could not be told; see outbox.go.
CREATE TABLE IF NOT EXISTS owed_revocations (
	owner   BLOB NOT NULL, -- the instance that is to apply it
	storage TEXT NOT NULL, -- the storage that has to forget it, in the cache's words
	key     BLOB NOT NULL, -- any bytes: the cache hashes session tokens
	tag     BLOB NOT NULL,
	until   INTEGER NOT NULL, -- Unix seconds: when nothing is left that it concerns
	PRIMARY KEY (owner, storage, key, tag)
) STRICT;
