package checker

import "sync"

// How much data there is. There are few tokens, so that clients collide on them.
const (
	// Sessions is how many tokens stand for sessions. The tokens after them stand for rows in a
	// data cache.
	Sessions = 20
	Tokens   = Sessions + 10
	// Users is how many users own the sessions. Owners is how many other users own the rows.
	Users  = 5
	Owners = 2
)

func isRow(token int) bool { return token >= Sessions }

// userOf returns the owner of a session or row.
func userOf(token int) int {
	if isRow(token) {
		return Users + token%Owners
	}
	return token % Users
}

// Commit is one version of a token.
type Commit struct {
	// At is when it became visible.
	At int64
	// Gone: the session does not exist in this version.
	Gone bool
	// LastGone is the latest version, up to this one, without a session.
	LastGone int64
}

// Database is the database of record. It is linearizable, lives in memory, and keeps every version.
// The versions of a token start at 0; version 0 means that there is no session. It is safe for
// concurrent use.
type Database struct {
	mu      sync.Mutex
	last    int64
	commits [Tokens][]Commit
}

// NewDatabase returns a database without sessions.
func NewDatabase() *Database {
	d := &Database{}
	for token := range d.commits {
		d.commits[token] = []Commit{{Gone: true}}
	}
	return d
}

// Read returns the current version of token. gone means that this version has no session.
func (d *Database) Read(token int) (version int64, gone bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	commits := d.commits[token]
	return int64(len(commits) - 1), commits[len(commits)-1].Gone
}

// Put creates or changes a session.
func (d *Database) Put(token int) Mark {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.commit(token, false)
}

// Delete deletes the sessions for which matches returns true. A session that is already gone keeps
// its version.
func (d *Database) Delete(matches func(token int) bool) []Mark {
	d.mu.Lock()
	defer d.mu.Unlock()
	var marks []Mark
	for token, commits := range d.commits {
		switch {
		case !matches(token):
		case commits[len(commits)-1].Gone:
			marks = append(marks, Mark{token, int64(len(commits) - 1)})
		default:
			marks = append(marks, d.commit(token, true))
		}
	}
	return marks
}

// commit adds a version. It takes the time before anyone can read the version. No two times are
// equal, because porcupine would treat commits at the same time as concurrent.
func (d *Database) commit(token int, gone bool) Mark {
	version := int64(len(d.commits[token]))
	d.last = max(d.last+1, Now())
	next := Commit{At: d.last, Gone: gone, LastGone: version}
	if !gone {
		next.LastGone = d.commits[token][version-1].LastGone
	}
	d.commits[token] = append(d.commits[token], next)
	return Mark{token, version}
}

// Commits returns all versions so far. The elements of the slices never change.
func (d *Database) Commits() [Tokens][]Commit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.commits
}

// Top returns the current version of each token.
func (d *Database) Top() (top [Tokens]int64) {
	for token, commits := range d.Commits() {
		top[token] = int64(len(commits) - 1)
	}
	return top
}
