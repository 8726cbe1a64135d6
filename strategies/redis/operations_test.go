package redis_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fxcache/fxcache/cache/driver"
)

// operation is one on the key, or the tag, of its name.
type operation struct {
	name string
	kind string // read, store or revoke
	do   func(ctx context.Context, s *started, lease *driver.Lease) (result string, err error)
	// What comes of it when it works: the result, and what is in the server afterwards.
	result, after string
}

// What a direct look finds.
const (
	before = "before"
	stored = "new"
	gone   = "gone"
)

var newOptions = driver.SetOptions{TTL: time.Hour, Tags: []string{"n:another"}}

var operations = []operation{
	{name: "Get", kind: "read", result: "value of n:Get", after: before, do: func(ctx context.Context, s *started, _ *driver.Lease) (string, error) {
		value, _, err := s.Get(ctx, "n:Get")
		return string(value), err
	}},
	{name: "GetHinted", kind: "read", result: "value of n:GetHinted", after: before, do: func(ctx context.Context, s *started, _ *driver.Lease) (string, error) {
		value, _, err := s.GetHinted(ctx, "n:GetHinted", []string{"n:GetHinted"})
		return string(value), err
	}},
	{name: "GetMany", kind: "read", result: "value of n:GetMany", after: before, do: func(ctx context.Context, s *started, _ *driver.Lease) (string, error) {
		results := s.GetMany(ctx, []string{"n:GetMany"}, nil)
		return string(results[0].Value), results[0].Err
	}},
	{name: "GetOrLease", kind: "store", result: "value of n:GetOrLease", after: before, do: func(ctx context.Context, s *started, _ *driver.Lease) (string, error) {
		value, _, _, err := s.GetOrLease(ctx, "n:GetOrLease")
		return string(value), err
	}},
	{name: "Lease", kind: "store", result: "a lease", after: before, do: func(ctx context.Context, s *started, _ *driver.Lease) (string, error) {
		lease, err := s.Lease(ctx, "n:Lease")
		if lease == nil {
			return "", err
		}
		return "a lease", err
	}},
	{name: "Set", kind: "store", after: stored, do: func(ctx context.Context, s *started, _ *driver.Lease) (string, error) {
		return "", s.Set(ctx, "n:Set", []byte(stored), newOptions)
	}},
	{name: "SetMany", kind: "store", after: stored, do: func(ctx context.Context, s *started, _ *driver.Lease) (string, error) {
		return "", s.SetMany(ctx, []driver.Item{{Key: "n:SetMany", Value: []byte(stored), Options: newOptions}})[0]
	}},
	{name: "Fill", kind: "store", result: "true", after: stored, do: func(ctx context.Context, s *started, lease *driver.Lease) (string, error) {
		ok, err := s.Fill(ctx, lease, []byte(stored), newOptions)
		if !ok {
			return "", err
		}
		return "true", err
	}},
	{name: "Delete", kind: "revoke", after: gone, do: func(ctx context.Context, s *started, _ *driver.Lease) (string, error) {
		return "", s.Delete(ctx, "n:Delete")
	}},
	{name: "InvalidateTags", kind: "revoke", after: gone, do: func(ctx context.Context, s *started, _ *driver.Lease) (string, error) {
		return "", s.InvalidateTags(ctx, "n:InvalidateTags")
	}},
}

// look finds out past the strategy what is there of an operation's key; for InvalidateTags, its
// tag.
func (s *started) look(op operation) string {
	s.Helper()
	if op.name == "InvalidateTags" {
		if s.direct("EXISTS", "n:t:{0}:"+op.name) == int64(0) {
			return gone
		}
		return before
	}
	if s.direct("TYPE", "n:v:{0}:"+op.name) == "list" {
		return before
	}
	value, _ := s.direct("GET", "n:v:{0}:"+op.name).(string)
	switch {
	case value == "":
		return gone
	case strings.HasSuffix(value, stored):
		return stored
	case strings.HasSuffix(value, "value of n:"+op.name):
		return before
	}
	return fmt.Sprintf("%q", value)
}
