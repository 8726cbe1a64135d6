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

// ServerError is what Redis answered instead of doing what it was asked to. It holds no more than the
// code: the rest of the text may name keys.
type ServerError struct {
	// Code is the first word of the answer: OOM, READONLY, NOPERM, WRONGTYPE, …; where that is ERR,
	// which says nothing, the code that its text stands for, or MAXCLIENTS, if there is one.
	Code string
}

// Error implements error.
func (e *ServerError) Error() string { return "redis answers " + e.Code }

// Unwrap returns driver.ErrUnavailable where the server's state is to blame, and will change, and driver.ErrBadEntry
// where it is what the key holds; what is left is a mistake, such as a missing permission, that somebody has to mend.
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

// wrongType is what Redis says where a key holds something of another type than the command is for.
const wrongType = "WRONGTYPE"

// tryAgain is what Redis says while the keys of a command are not all on one node.
const tryAgain = "TRYAGAIN"

// Errors without a code of their own, by a part of their text, and the code that they stand for.
var uncoded = []struct{ text, code string }{
	// Between a script and a command of it, Redis has only text; the second of NOPERM is that of 7.2.
	{"The user executing the script", "NOPERM"},
	{"ACL failure in script", "NOPERM"},
	{"cluster is down", "CLUSTERDOWN"},
	{"a non local key in a cluster node", tryAgain}, // a slot on the move: a part of the keys has gone
	{"max number of clients reached", "MAXCLIENTS"},
	{"WRONGTYPE Operation against a key", wrongType}, // likewise, within the text of a script's own error
}

// code returns the code of an error's text, from which rueidis has cut "ERR ".
func code(text string) string {
	first, _, _ := strings.Cut(text, " ")
	if first != "" && strings.Trim(first, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
		return first
	}
	for _, known := range uncoded {
		if strings.Contains(text, known.text) {
			return known.code
		}
	}
	return "ERR"
}

// LanesError is a revocation that was not confirmed by every lane. It may be applied in some of them;
// repeating it does no harm.
type LanesError struct {
	// Lanes are the numbers of the lanes that failed, and Of is how many the revocation concerned.
	Lanes []int
	Of    int

	errs []error // of Lanes
}

// Error implements error. What several lanes say is said once.
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

// applied reports whether nothing is missing but what replicas have to say.
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
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
}

// nilIsMiss is typed, but for the absence of a value.
func nilIsMiss(err error) error {
	if rueidis.IsRedisNil(err) {
		return nil
	}
	return typed(err)
}
