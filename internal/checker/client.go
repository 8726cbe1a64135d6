package checker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/rpc"
	"strconv"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

// How often a client does each operation, in percent. Most operations are reads, and most reads
// find a session.
const (
	gets        = 68
	puts        = 20
	revokes     = 9
	userRevokes = 2 // the rest are Clears, of one kind or of everything
)

// quiet reports whether the sessions of a user are only read in a window. Each user has a few
// windows with changes, followed by a pause longer than stale_after. Without the pause, a change
// would remove what a fault left in the cache before it could become too old.
func quiet(user, window int) bool { return (window/2+user)%5 > 1 }

// clears reports whether everything may be cleared in a window. Most windows have no such Clear,
// for the same reason.
func clears(window int) bool { return window%10 == 0 }

// client runs one operation after another.
type client struct {
	*cached
	database *rpc.Client
	random   *rand.Rand
	node, id int
	window   int
	events   []Event
	errors   map[string]int
}

// work runs operations until stop is closed or the quota is used up.
func (c *client) work(stop <-chan struct{}, quota int) {
	for range quota {
		select {
		case <-stop:
			return
		default:
			c.step()
		}
	}
}

func (c *client) step() {
	ctx := context.Background()
	if c.random.IntN(40) == 0 { // a caller that gives up
		left, cancel := context.WithTimeout(ctx, time.Duration(c.random.IntN(4000))*time.Microsecond)
		defer cancel()
		ctx = left
	}
	token := c.window % Tokens // each window is about one of them
	if c.random.IntN(3) > 0 {
		token = c.random.IntN(Tokens)
	}
	n := c.random.IntN(100)
	if n >= gets {
		for quiet(userOf(token), c.window) {
			token = c.random.IntN(Tokens)
		}
	}
	e := Event{Node: c.node, Client: c.id, Call: Now()}
	var err error
	switch {
	case n < gets || n == 99 && !clears(c.window):
		if isRow(token) && c.random.IntN(4) == 0 {
			c.getMany(ctx)
			return
		}
		err = c.get(ctx, token, &e)
	case n < gets+puts:
		e.Kind = Put
		err = c.put(ctx, token, &e)
	case n < gets+puts+revokes:
		err = c.revoke(&e, Revoke, "Coordinator.Delete", token, func() error { return c.delete(ctx, token) })
	case n < gets+puts+revokes+userRevokes:
		user := userOf(token)
		err = c.revoke(&e, RevokeUser, "Coordinator.DeleteUser", user, func() error { return c.deleteUser(ctx, user) })
	case c.random.IntN(2) == 0:
		err = c.revoke(&e, RevokeKind, "Coordinator.DeleteKind", isRow(token), func() error { return c.clear(ctx, isRow(token)) })
	default:
		err = c.revoke(&e, Clear, "Coordinator.Clear", 0, func() error { return c.service.Clear(ctx) })
	}
	c.note(e, err)
}

// note records an operation that has returned.
func (c *client) note(e Event, err error) {
	e.Return = Now()
	if e.Outcome != Silent {
		e.Outcome = outcomeOf(err)
	}
	if err != nil {
		c.errors[e.Kind.String()+": "+shortest(err)]++
	}
	c.events = append(c.events, e)
}

// get reads a session or a row, mostly through the cache.
func (c *client) get(ctx context.Context, token int, e *Event) error {
	e.Read.Token = token
	if isRow(token) {
		return c.getRow(ctx, token, e)
	}
	var session *sessioncache.CachedSession
	var found bool
	var err error
	if c.random.IntN(4) == 0 {
		if session, found, err = c.sessions.Get(ctx, name(token)); err == nil && !found {
			e.Outcome = Silent
			return nil
		}
	} else {
		session, found, err = c.sessions.GetOrLoad(ctx, name(token), func(ctx context.Context) (*sessioncache.CachedSession, error) {
			mark, err := c.load(ctx, token)
			if err != nil {
				return nil, err
			}
			return sessionOf(mark), nil
		})
	}
	if err != nil {
		return err
	}
	e.Gone = !found
	if found {
		e.Read.Version, e.Foreign = versionOf(session, token)
	}
	return nil
}

// load reads the database.
func (c *client) load(ctx context.Context, token int) (Mark, error) {
	var row Row
	if err := c.database.Call("Coordinator.Read", token, &row); err != nil {
		return Mark{}, err
	}
	c.dawdle(ctx) // what was read gets older meanwhile
	if row.Gone {
		return Mark{}, cache.ErrNotFound
	}
	return Mark{token, row.Version}, nil
}

// put creates or changes a session or a row.
func (c *client) put(ctx context.Context, token int, e *Event) error {
	write := func(ctx context.Context) (mark Mark, err error) {
		c.dawdle(ctx)
		if err := c.database.Call("Coordinator.Put", token, &mark); err != nil {
			return mark, err
		}
		e.Committed, e.Acked = Now(), []Mark{mark}
		c.dawdle(ctx)
		return mark, nil
	}
	if isRow(token) {
		_, err := c.rows.Update(ctx, name(token), write)
		return err
	}
	_, err := c.sessions.Update(ctx, name(token), func(ctx context.Context) (*sessioncache.CachedSession, error) {
		mark, err := write(ctx)
		if err != nil {
			return nil, err
		}
		return sessionOf(mark), nil
	})
	return err
}

// revoke deletes from the database and then tells the cache.
func (c *client) revoke(e *Event, kind Kind, method string, what any, tell func() error) error {
	e.Kind = kind
	if err := c.database.Call(method, what, &e.Acked); err != nil {
		return err
	}
	e.Committed = Now()
	return tell()
}

// dawdle takes as long as a database would. Most often that is almost no time.
func (c *client) dawdle(ctx context.Context) {
	var pause time.Duration
	switch n := rand.IntN(100); { //nolint:gosec // not a secret, and loaders run beside their client
	case n < 50:
		return
	case n < 90:
		pause = time.Millisecond
	case n < 99:
		pause = 10 * time.Millisecond
	default:
		pause = 100 * time.Millisecond
	}
	timer := time.NewTimer(rand.N(pause)) //nolint:gosec // as above
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func name(token int) string { return "token-" + strconv.Itoa(token) }

func userID(user int) sessioncache.ID { return sessioncache.ID("user-" + strconv.Itoa(user)) }

// sessionOf returns the session that stands for one version. Its expiry is so late that no step of
// a clock reaches it.
func sessionOf(mark Mark) *sessioncache.CachedSession {
	return &sessioncache.CachedSession{
		ID:            sessioncache.ID(strconv.FormatInt(mark.Version, 10)),
		ActiveOrderID: sessioncache.ID(name(mark.Token)),
		Expires:       time.Now().Add(24 * time.Hour),
		User:          &sessioncache.User{ID: userID(userOf(mark.Token))},
	}
}

// versionOf returns the version of a session. foreign says why it cannot be a session of token.
func versionOf(session *sessioncache.CachedSession, token int) (version int64, foreign string) {
	version, err := strconv.ParseInt(string(session.ID), 10, 64)
	switch {
	case err != nil:
		return 0, err.Error()
	case session.ActiveOrderID != sessioncache.ID(name(token)):
		return version, "a session of " + string(session.ActiveOrderID)
	case session.User == nil || session.User.ID != userID(userOf(token)):
		return version, fmt.Sprintf("a session of %v", session.User)
	case session.Token.Reveal() != name(token): // these tokens are no secrets
		return version, "a session with another token"
	}
	return version, ""
}

// shortest returns the text of an error without the parts that differ each time.
func shortest(err error) string {
	for _, known := range []error{
		cache.ErrNotReplicated, cache.ErrRevocationPending, context.Canceled, context.DeadlineExceeded, cache.ErrUnavailable,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return err.Error()
}
