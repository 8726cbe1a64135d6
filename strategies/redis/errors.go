package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/rueidis"

	"github.com/fxcache/fxcache/cache"
)

// ServerError is what Redis answered instead of doing what it was asked to. It holds no more than the
// code: the rest of the text may name keys.
type ServerError struct {
	// Code is the first word of the answer: OOM, READONLY, NOPERM, WRONGTYPE, …
	Code string
}

// Error implements error.
func (e *ServerError) Error() string { return "redis answers " + e.Code }

// Unwrap returns cache.ErrUnavailable where the server's state is to blame, and will change; what is
// left is a mistake, such as a missing permission, that somebody has to mend.
func (e *ServerError) Unwrap() error {
	switch e.Code {
	case "OOM", "LOADING", "BUSY", "MISCONF", "NOREPLICAS", "READONLY", "MASTERDOWN", clusterDown, tryAgain, "MOVED", "ASK":
		return cache.ErrUnavailable
	}
	return nil
}

const (
	clusterDown = "CLUSTERDOWN"
	tryAgain    = "TRYAGAIN"
)

// inScript maps what Redis says of a command in a script, by a part of its text, to the code that it has
// for the same state outside of scripts.
var inScript = [][2]string{
	{"while the cluster is down", clusterDown},
	{"access a non local key", tryAgain}, // the slot migrates, and the key is on the other node
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

// typed turns an error of rueidis into one of ours.
func typed(err error) error {
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	if answer, ok := rueidis.IsRedisErr(err); ok {
		code, _, _ := strings.Cut(answer.Error(), " ")
		for _, within := range []string{"WRONGTYPE", "OOM", "READONLY", "MISCONF", "NOREPLICAS", "NOPERM"} {
			if code == "ERR" && strings.Contains(answer.Error(), within) {
				code = within // of a command in a script
			}
		}
		for _, known := range inScript {
			if code == "Script" && strings.Contains(answer.Error(), known[0]) { // rueidis cuts ERR off
				code = known[1]
			}
		}
		return &ServerError{Code: strings.TrimPrefix(code, "-")}
	}
	return fmt.Errorf("%w: %w", cache.ErrUnavailable, err)
}

// nilIsMiss is typed, but for the absence of a value.
func nilIsMiss(err error) error {
	if rueidis.IsRedisNil(err) {
		return nil
	}
	return typed(err)
}
