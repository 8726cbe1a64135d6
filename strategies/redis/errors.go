package redis

import (
	"context"
	"errors"
	"fmt"
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
	case "OOM", "LOADING", "BUSY", "MISCONF", "NOREPLICAS", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK":
		return cache.ErrUnavailable
	}
	return nil
}

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
