package checker

import "sync"

// The size of the world: few tokens, so that clients meet on them.
const (
	// Sessions are the tokens of sessions; those from there on are rows in a cache of data.
	Sessions = 20
	Tokens   = Sessions + 10
	// Users own the sessions, and as many again as Owners the rows.
	Users  = 5
	Owners = 2
)

func isRow(token int) bool { return token >= Sessions }

// userOf is who owns a session, or a row.
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
	// LastGone is the latest version up to this one in which it does not.
	LastGone int64
}

// Database is the database of record: linearizable, in memory, and it never forgets. Each token
// counts its versions from 0, in which there is no session. It is safe for concurrent use.
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

// Read returns the version of token now, and whether there is no session in it.
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

// Delete deletes the sessions that match says. One that is gone keeps its version.
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

// commit adds a version. Its time is taken while nobody can read it yet. No two are the same,
// because porcupine would take commits at one time for concurrent ones.
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

// Commits returns all versions so far. What is in the slices never changes.
func (d *Database) Commits() [Tokens][]Commit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.commits
}

// Top returns the versions now.
func (d *Database) Top() (top [Tokens]int64) {
	for token, commits := range d.Commits() {
		top[token] = int64(len(commits) - 1)
	}
	return top
}
