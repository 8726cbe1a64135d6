package checker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fxcache/fxcache/cache"
)

// Rows have a shorter life than most faults last. So reads meet entries of all ages: within the
// TTL, near its end, and stale. rowsServed is the longest time for which a row is served, counted
// from the begin of the read that produced it.
const (
	rowTTL      = 400 * time.Millisecond
	rowStaleFor = 1600 * time.Millisecond
	rowsServed  = rowTTL + rowStaleFor
)

// allRows is the tag that every row has.
const allRows = "rows"

func ownerTag(user int) string { return "owner:" + strconv.Itoa(user) }

// rowPolicy uses every option of a policy. The tag of the owner is learned from the value.
var rowPolicy = cache.Policy[Mark]{
	TTL: rowTTL, StaleFor: rowStaleFor, EarlyRefresh: 5, NegativeTTL: time.Second, Jitter: 0.2,
	Tags:   []string{allRows},
	TagsOf: func(row Mark) []string { return []string{ownerTag(userOf(row.Token))} },
}

// rowsAtOnce is the number of keys in a GetMany or GetOrLoadMany.
const rowsAtOnce = 4

// getRow reads a row, mostly through the cache.
func (c *client) getRow(ctx context.Context, token int, e *Event) error {
	var row Mark
	var found bool
	var err error
	if c.random.IntN(4) == 0 {
		if row, found, err = c.rows.Get(ctx, name(token)); err == nil && !found {
			e.Outcome = Silent
		}
	} else {
		row, err = c.rows.GetOrLoad(ctx, name(token), func(ctx context.Context) (Mark, error) { return c.load(ctx, token) })
		if found = err == nil; errors.Is(err, cache.ErrNotFound) {
			e.Gone, err = true, nil
		}
	}
	if found {
		e.sees(row)
	}
	return err
}

// getMany reads some rows, half of the time only from the cache. Each of them counts as an
// operation.
func (c *client) getMany(ctx context.Context) {
	first := Event{Node: c.node, Client: c.id, Call: Now()}
	tokens := map[string]int{}
	var keys []string
	for range rowsAtOnce {
		token := Sessions + c.random.IntN(Tokens-Sessions)
		if _, twice := tokens[name(token)]; !twice {
			tokens[name(token)], keys = token, append(keys, name(token))
		}
	}
	loads := c.random.IntN(2) == 0
	var found map[string]Mark
	var err error
	if loads {
		found, err = c.rows.GetOrLoadMany(ctx, keys, func(ctx context.Context, missing []string) (map[string]Mark, error) {
			return c.loadMany(ctx, tokens, missing)
		})
	} else {
		found, err = c.rows.GetMany(ctx, keys...)
	}
	var failed *cache.BatchError
	errors.As(err, &failed)
	for _, key := range keys {
		e := first
		e.Read.Token = tokens[key]
		row, ok := found[key]
		failure := err
		switch {
		case ok:
			e.sees(row)
			failure = nil
		case failed != nil && failed.Failed[key] != nil:
			failure = failed.Failed[key]
		case err != nil && failed == nil: // it concerns all keys
		case loads:
			e.Gone, failure = true, nil
		default:
			e.Outcome, failure = Silent, nil
		}
		c.note(e, failure)
	}
}

// loadMany reads some rows from the database, one after the other. Those that are gone are left
// out.
func (c *client) loadMany(ctx context.Context, tokens map[string]int, missing []string) (map[string]Mark, error) {
	rows := make(map[string]Mark, len(missing))
	for _, key := range missing {
		row, err := c.load(ctx, tokens[key])
		switch {
		case err == nil:
			rows[key] = row
		case !errors.Is(err, cache.ErrNotFound):
			return nil, err
		}
	}
	return rows, nil
}

// sees records the row that a Get returned.
func (e *Event) sees(row Mark) {
	if e.Read.Version = row.Version; row.Token != e.Read.Token {
		e.Foreign = fmt.Sprintf("the row of token %d", row.Token)
	}
}

func (c *client) delete(ctx context.Context, token int) error {
	if isRow(token) {
		return c.rows.Delete(ctx, name(token))
	}
	return c.sessions.Delete(ctx, name(token))
}

func (c *client) deleteUser(ctx context.Context, user int) error {
	if user >= Users {
		return c.service.InvalidateTags(ctx, ownerTag(user))
	}
	return c.sessions.DeleteUser(ctx, userID(user))
}

// clear ends all rows, or all sessions.
func (c *client) clear(ctx context.Context, rows bool) error {
	if rows {
		return c.service.InvalidateTags(ctx, allRows)
	}
	return c.sessions.Clear(ctx)
}
