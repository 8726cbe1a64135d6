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

// rowsAtOnce is the number of keys in a GetMany.
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

// getMany reads some rows from the cache. Each of them counts as an operation.
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
	found, err := c.rows.GetMany(ctx, keys...)
	for _, key := range keys {
		e := first
		e.Read.Token = tokens[key]
		failure := err
		if row, ok := found[key]; ok {
			e.sees(row)
			failure = nil
		} else if err == nil {
			e.Outcome = Silent
		}
		c.note(e, failure)
	}
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
