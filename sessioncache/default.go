package sessioncache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/internal/panics"
	"github.com/fxcache/fxcache/internal/throttle"
)

// Default is the default session cache: it keeps sessions in cache.Service, on any storage
// strategy. Create it with New. All methods are safe for concurrent use. Before Init they return
// cache.ErrNotStarted, except Clear.
//
// The token never leaves the process: entries are found by its SHA-256 and do not contain it.
//
// Two times limit what is served. After CacheExpiry a session is read from the database again.
// After Expires it is gone. Each reader applies its own StaleAfter. If CacheExpiry is further away
// than that, another process stored the session with a longer StaleAfter, or with a clock that runs
// fast. The session is then read from the database again too.
type Default struct {
	options   Options // without the durations of limits
	limits    atomic.Pointer[limits]
	state     atomic.Pointer[state] // nil before Init
	renewals  renewals
	throttles [warnings]throttle.Throttle
}

// state is what Init sets up.
type state struct {
	service *cache.Service
	records *cache.Cache[*record]
	clock   driver.Clock
}

var (
	_ Sessions           = (*Default)(nil)
	_ driver.Initializer = (*Default)(nil)
)

// New returns a Default that is not yet initialised. An invalid option is a cache.OptionError. The
// errors of several options are joined.
func New(options Options) (*Default, error) {
	options = options.WithDefaults()
	if err := options.Validate(); err != nil {
		return nil, err
	}
	d := &Default{options: options, renewals: renewals{seed: maphash.MakeSeed()}}
	d.SetOptions(options)
	return d, nil
}

// Format implements fmt.Formatter: no verb or flag prints the sessions in d.
func (d *Default) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "sessioncache.Default") }

// limits are the options that SetOptions changes.
type limits struct{ ttl, staleAfter time.Duration }

// CheckOptions reports which of options SetOptions cannot take: those that are not valid, and
// another Prefix.
func (d *Default) CheckOptions(options Options) error {
	options = options.WithDefaults()
	err := options.Validate()
	if options.Prefix != d.options.Prefix {
		err = errors.Join(err, &cache.OptionError{Name: "prefix", Reason: "cannot change while the application runs: restart it"})
	}
	return err
}

// SetOptions changes TTL and StaleAfter, from now on and for the sessions that are cached already.
// CheckOptions must have accepted options.
func (d *Default) SetOptions(options Options) {
	options = options.WithDefaults()
	d.limits.Store(&limits{options.TTL, options.StaleAfter})
}

// Init takes *cache.Service from in.
func (d *Default) Init(_ context.Context, in driver.Injector) error {
	service, err := driver.Resolve[*cache.Service](in)
	if err != nil {
		return err
	}
	st := &state{service: service, clock: service.Options().Clock}
	st.records, err = cache.New(service, d.options.Prefix, cache.Policy[*record]{
		HashKeys: true,
		Reserved: true,
		Tags:     []string{d.allTag()},
		TagsOf:   func(r *record) []string { return d.tags(st, &r.CachedSession) },
		TTLOf:    func(r *record) time.Duration { return ttl(r, st.clock.Now()) },
		Fresh:    func(r *record) bool { return r != nil && d.fresh(&r.CachedSession, st.clock.Now()) },
	})
	if err != nil {
		return err
	}
	d.state.Store(st)
	return nil
}

// Get implements Strategy.
func (d *Default) Get(ctx context.Context, token string) (*CachedSession, bool, error) {
	st, err := d.started()
	if err != nil || !d.valid(token) {
		return nil, false, err
	}
	r, found, err := st.records.Get(ctx, token)
	if err != nil || !found || r == nil || !d.fresh(&r.CachedSession, st.clock.Now()) {
		return nil, false, err
	}
	r.setToken(token)
	return &r.CachedSession, true, nil
}

// GetOrLoad implements Sessions. Call it for every request. If the session is deleted during load,
// the result of load is not cached. A slow or failing cache costs no more than its timeout and then
// counts as a miss. A session that expires soon is renewed, see Options.Renew.
func (d *Default) GetOrLoad(ctx context.Context, token string, load Load) (*CachedSession, bool, error) {
	st, err := d.started()
	if err != nil || !d.valid(token) {
		return nil, false, err
	}
	r, err := st.records.GetOrLoad(ctx, token, func(ctx context.Context) (*record, error) {
		return d.run(ctx, st, token, load)
	})
	if errors.Is(err, cache.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	r.setToken(token)
	return d.renew(ctx, st, &r.CachedSession)
}

// Update implements Sessions. Use it for login, and for every change of a session. The token of a
// login is a new one, so no other node can have its session: give Update cache.WithNewKey(ctx), and
// a login never waits for other nodes. The same holds for Set.
func (d *Default) Update(ctx context.Context, token string, write Load) (*CachedSession, error) {
	st, err := d.started()
	if err != nil {
		return nil, err
	}
	if !d.valid(token) {
		return nil, ErrTokenMismatch
	}
	r, err := st.records.Update(ctx, token, func(ctx context.Context) (*record, error) {
		return d.run(ctx, st, token, write)
	})
	if r == nil {
		return nil, err
	}
	r.setToken(token)
	return &r.CachedSession, err
}

// Set implements Strategy. A Set at the same time as a Delete may win, and the session is back.
// Avoid that: if the session was just written to the database, use Update, and if it was read, use
// GetOrLoad. A session that has expired is removed instead of stored. A session that cannot be
// stored is an error, and so is one without Expires (ErrNoExpires).
func (d *Default) Set(ctx context.Context, session *CachedSession) error {
	st, err := d.started()
	if err != nil {
		return err
	}
	if session == nil || !d.valid(session.Token.Reveal()) {
		return ErrTokenMismatch
	}
	if session.Expires.IsZero() {
		return errors.Join(ErrNoExpires, d.Delete(ctx, session.Token.Reveal())) // what it should have replaced
	}
	now := st.clock.Now()
	return st.records.Set(ctx, session.Token.Reveal(), d.record(session, now))
}

// Delete implements Strategy. Call it after the database has committed. If the deletion could not
// be applied, the error is a cache.PendingError. It says until when other nodes may still serve the
// session. This node does not serve it. Call Delete only for sessions that the database has, or
// that Get finds: while the storage fails, every deletion becomes a pending revocation, even one
// for a token that never existed.
func (d *Default) Delete(ctx context.Context, token string) error {
	st, err := d.started()
	if err != nil || !d.valid(token) {
		return err
	}
	return d.limitPending(st, st.records.Delete(ctx, token))
}

// DeleteUser implements Sessions. It logs the user out everywhere. Call it after the database has
// committed.
func (d *Default) DeleteUser(ctx context.Context, user ID) error {
	if user == "" {
		return errNoUser
	}
	return d.revoke(ctx, d.userTag(user))
}

// InvalidateTags implements Sessions. Call it after the database has committed.
func (d *Default) InvalidateTags(ctx context.Context, tags ...string) error {
	st, err := d.started()
	if err != nil {
		return err
	}
	return st.service.InvalidateTags(ctx, tags...)
}

// Clear implements Strategy.
func (d *Default) Clear(ctx context.Context) error {
	if d.state.Load() == nil {
		return nil
	}
	return d.revoke(ctx, d.allTag())
}

// revoke invalidates a tag that only sessions carry.
func (d *Default) revoke(ctx context.Context, tag string) error {
	st, err := d.started()
	if err != nil {
		return err
	}
	return d.limitPending(st, st.service.InvalidateTags(ctx, tag))
}

// limitPending shortens the time in the error of a pending revocation: no node serves a session for
// longer than StaleAfter.
func (d *Default) limitPending(st *state, err error) error {
	var pending *cache.PendingError
	if soft := st.clock.Now().Add(d.limits.Load().staleAfter); errors.As(err, &pending) && soft.Before(pending.Until) {
		pending.Until = soft
	}
	return err
}

// valid reports whether token may be the token of a session.
func (d *Default) valid(token string) bool {
	return token != "" && (d.options.ValidToken == nil || d.options.ValidToken(token))
}

func (d *Default) started() (*state, error) {
	if st := d.state.Load(); st != nil {
		return st, nil
	}
	return nil, cache.ErrNotStarted
}

// run loads or writes a session, and checks that the result belongs to token.
func (d *Default) run(ctx context.Context, st *state, token string, load Load) (*record, error) {
	if load == nil {
		return nil, panics.ErrNil
	}
	began := st.clock.Now() // what load reads may be as old as this
	session, err := load(ctx)
	if err != nil {
		return nil, err
	}
	if session != nil && session.Expires.IsZero() {
		d.warn(ctx, st, ofExpires, "sessioncache: a session has no Expires, so it has ended; load that from the database too",
			"session", session.ID)
		return nil, ErrNoExpires
	}
	if session == nil || session.Expired(st.clock.Now()) {
		return nil, cache.ErrNotFound
	}
	if !session.Token.IsZero() && session.Token.Reveal() != token {
		return nil, ErrTokenMismatch
	}
	return d.record(session, began), nil
}

// record copies session into the form that is cached. CacheExpiry is at most StaleAfter from the
// start of the read. The TTL ends when the entry is of no more use, so the storage drops it even if
// its clock differs from ours.
func (d *Default) record(session *CachedSession, began time.Time) *record {
	r := newRecord()
	r.CachedSession = *session
	r.User = session.User.Clone()
	r.CustomFields = restored(session.CustomFields)
	if soft := began.Add(d.limits.Load().staleAfter); r.CacheExpiry.IsZero() || r.CacheExpiry.After(soft) {
		r.CacheExpiry = soft
	}
	r.ttl = min(d.limits.Load().ttl, r.Expires.Sub(began), r.CacheExpiry.Sub(began))
	return r
}

// ttl returns how long a session may stay in the cache, counted from the start of the read. It is
// negative if the session must not be stored, or not for a millisecond.
func ttl(r *record, now time.Time) time.Duration {
	if r.ttl < time.Millisecond || r.Expired(now) || r.Stale(now) {
		return -1
	}
	return r.ttl
}

func (d *Default) allTag() string { return d.options.Prefix + ":all" }

func (d *Default) userTag(user ID) string { return fmt.Sprintf("%s:user:%s", d.options.Prefix, user) }

// tags returns the tags of a session that it does not share with all. A tag of the application that
// InvalidateTags would refuse cannot revoke anything, so it is left out. If there are too many, or
// if the user's own cannot be used, the cache refuses the session: a revocation would miss it.
func (d *Default) tags(st *state, session *CachedSession) []string {
	var tags []string
	if session.User != nil && session.User.ID != "" {
		tags = append(tags, d.userTag(session.User.ID))
	}
	if d.options.Tags == nil {
		return tags
	}
	limit := st.service.Options().MaxKeyBytes
	for i, tag := range d.options.Tags(session) {
		if tag == "" || driver.Size(len(tag)) > limit {
			d.warn(context.Background(), st, ofTags, "sessioncache: a tag must have between 1 and max_key_bytes bytes; the session is stored without it",
				"session", session.ID, "index", i, "bytes", len(tag), "max_key_bytes", limit)
			continue
		}
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// fresh reports whether a cached session may be served without reading the database.
func (d *Default) fresh(session *CachedSession, now time.Time) bool {
	return !session.Expired(now) && !session.Stale(now) &&
		!session.CacheExpiry.After(now.Add(d.limits.Load().staleAfter))
}
