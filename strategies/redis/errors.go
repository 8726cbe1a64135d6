package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache/driver"
)

// ServerError is what Redis answered instead of doing what it was asked to. It holds only the code,
// because the rest of the text may name keys.
type ServerError struct {
	// Code is the first word of the answer: OOM, READONLY, NOPERM, WRONGTYPE, … The word ERR says
	// nothing. In its place stands the code that the text means, if there is one, or MAXCLIENTS.
	Code string
}

// Error implements error.
func (e *ServerError) Error() string {
	if meaning := meanings[e.Code]; meaning != "" {
		return "redis answers " + e.Code + ": " + meaning
	}
	return "redis answers " + e.Code
}

// meanings explains codes that somebody has to do something about.
var meanings = map[string]string{
	"OOM":        "its maxmemory is used up, and its maxmemory-policy removes nothing",
	"MISCONF":    "it refuses writes, because it cannot write its snapshot to disk",
	"NOREPLICAS": "it refuses writes, because fewer replicas are connected than its min-replicas-to-write",
	"NOPERM":     "the ACL user lacks a permission; docs/redis.md has the rules that it needs",
	"MAXCLIENTS": "its maxclients is reached",
}

// Unwrap returns driver.ErrUnavailable if the reason is the state of the server, which will change.
// It returns driver.ErrBadEntry if the reason is what the key holds. All other codes are mistakes
// that somebody has to fix, for example a missing permission.
func (e *ServerError) Unwrap() error {
	switch e.Code {
	case "OOM", "LOADING", "BUSY", "MISCONF", "NOREPLICAS", "READONLY", "MASTERDOWN", "CLUSTERDOWN", tryAgain, "MOVED", "ASK",
		"UNBLOCKED", "MAXCLIENTS":
		return driver.ErrUnavailable
	case wrongType:
		return driver.ErrBadEntry
	}
	return nil
}

// wrongType is what Redis answers if a key holds another type than the command is for.
const wrongType = "WRONGTYPE"

// tryAgain is what Redis answers if the keys of a command are not all on one node.
const tryAgain = "TRYAGAIN"

// uncoded lists errors without a code of their own: a part of their text, and the code that it
// means.
var uncoded = []struct{ text, code string }{
	// Redis has only text for an error of a command in a script. The second text of NOPERM is that
	// of 7.2.
	{"The user executing the script", "NOPERM"},
	{"ACL failure in script", "NOPERM"},
	{"cluster is down", "CLUSTERDOWN"},
	{"a non local key in a cluster node", tryAgain}, // a slot migrates: some of the keys have gone
	{"max number of clients reached", "MAXCLIENTS"},
	{"WRONGTYPE Operation against a key", wrongType}, // as above, within the text of a script's error
	{"WAIT cannot be used with replica", "READONLY"},
	// These begin with a word that is no code.
	{"DB index is out of range", "ERR"},
	{"AUTH <password> called without", "ERR"},
	{"SELECT is not allowed in cluster mode", "ERR"},
}

// code returns the code in an error's text, from which rueidis has cut "ERR ".
func code(text string) string {
	for _, known := range uncoded { // first: such a text may begin with a word that looks like a code
		if strings.Contains(text, known.text) {
			return known.code
		}
	}
	first, _, _ := strings.Cut(text, " ")
	if first != "" && strings.Trim(first, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
		return first
	}
	return "ERR"
}

// LanesError is a revocation that was not confirmed by every lane. Some lanes may have applied it.
// Repeating it does no harm.
type LanesError struct {
	// Lanes are the numbers of the lanes that failed. Of is how many lanes the revocation
	// concerned.
	Lanes []int
	Of    int

	errs []error // of Lanes
}

// Error implements error. It states each reason once.
func (e *LanesError) Error() string {
	var said []string
	for _, err := range e.errs {
		if text := err.Error(); !slices.Contains(said, text) {
			said = append(said, text)
		}
	}
	return fmt.Sprintf("%d of %d lanes failed, %v; repeat it: %s", len(e.Lanes), e.Of, e.Lanes, strings.Join(said, "; "))
}

// Unwrap returns the errors of the lanes, in the order of Lanes.
func (e *LanesError) Unwrap() []error { return e.errs }

// applied reports whether only the confirmation of replicas is missing.
func (e *LanesError) applied() bool {
	return !slices.ContainsFunc(e.errs, func(err error) bool { return !errors.Is(err, driver.ErrNotReplicated) })
}

// typed turns an error of rueidis into one of ours.
func typed(err error) error {
	if err == nil {
		return nil
	}
	if answer, ok := rueidis.IsRedisErr(err); ok {
		return &ServerError{Code: code(answer.Error())}
	}
	err = withoutAddress(err)
	var connect *ConnectError // may be a timeout too, but not the caller's
	if !errors.As(err, &connect) && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		return err
	}
	return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
}

// nilIsMiss is like typed, but the absence of a value is not an error.
func nilIsMiss(err error) error {
	if rueidis.IsRedisNil(err) {
		return nil
	}
	return typed(err)
}
