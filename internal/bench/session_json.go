package bench

import (
	"context"
	"encoding/json"
	"time"

	"github.com/fxcache/fxcache/sessioncache"
)

// Plain is the session as a team writes it by hand for encoding/json.
type Plain struct {
	ID                     string     `json:"id"`
	Expires                time.Time  `json:"expires"`
	CacheExpiry            time.Time  `json:"cacheExpiry"`
	ActiveOrderID          string     `json:"activeOrderId,omitempty"`
	ActiveChannelID        string     `json:"activeChannelId,omitempty"`
	AuthenticationStrategy string     `json:"authenticationStrategy,omitempty"`
	User                   *PlainUser `json:"user,omitempty"`
}

// PlainUser is the user that is logged in.
type PlainUser struct {
	ID         string         `json:"id"`
	Identifier string         `json:"identifier"`
	Verified   bool           `json:"verified"`
	Channels   []PlainChannel `json:"channelPermissions"`
}

// PlainChannel is what the user may do in one channel.
type PlainChannel struct {
	ID          string   `json:"id"`
	Token       string   `json:"token"`
	Code        string   `json:"code"`
	Permissions []string `json:"permissions"`
}

// NewPlain returns the same session for encoding/json.
func NewPlain(s *sessioncache.CachedSession) *Plain {
	p := &Plain{
		ID: string(s.ID), Expires: s.Expires, CacheExpiry: s.CacheExpiry,
		ActiveOrderID: string(s.ActiveOrderID), ActiveChannelID: string(s.ActiveChannelID),
		AuthenticationStrategy: s.AuthenticationStrategy,
		User:                   &PlainUser{ID: string(s.User.ID), Identifier: s.User.Identifier, Verified: s.User.Verified},
	}
	for _, c := range s.User.ChannelPermissions {
		// The token of a channel is part of what is cached.
		p.User.Channels = append(p.User.Channels, PlainChannel{string(c.ID), c.Token.Reveal(), c.Code, c.Permissions})
	}
	return p
}

// JSON is what a team writes by hand: the GET of rueidis, and encoding/json. It has no tags.
type JSON struct{ bare *Rueidis }

// NewJSON connects to one server.
func NewJSON(addr string) (*JSON, error) {
	bare, err := NewRueidis(addr)
	if err != nil {
		return nil, err
	}
	return &JSON{bare}, nil
}

// Set implements Peer.
func (j *JSON) Set(ctx context.Context, key string, session *Plain) error {
	text, err := json.Marshal(session)
	if err != nil {
		return err
	}
	return j.bare.Set(ctx, key, text)
}

// Get implements Peer.
func (j *JSON) Get(ctx context.Context, key string) (*Plain, bool, error) {
	text, found, err := j.bare.Get(ctx, key)
	if err != nil || !found {
		return nil, false, err
	}
	session := new(Plain)
	if err := json.Unmarshal(text, session); err != nil {
		return nil, false, err
	}
	return session, true, nil
}

// Close implements Peer.
func (j *JSON) Close() error { return j.bare.Close() }
