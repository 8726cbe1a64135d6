package sessioncache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// Default is the DefaultSessionCacheStrategy of the seed: it keeps sessions in cache.Service, on
// whatever storage strategy that has. Create it with New; all methods are safe for concurrent use,
// and return cache.ErrNotStarted before Init, Clear excepted.
//
// The token never leaves the process: entries are found by its SHA-256, and do not contain it. Two
// clocks bound what is served: after CacheExpiry a session is read from the database again, after
// Expires it is gone. It is the reader who judges: a session whose CacheExpiry is further away than the
// reader's own StaleAfter was stored with another StaleAfter, or by a clock that runs fast, and
// is read from the database again too.
type Default struct {
	options  Options
	state    atomic.Pointer[state] // nil before Init
	renewals renewals
}

// state is what Init set up.
type state struct {
	service *cache.Service
	records *cache.Cache[*record]
	clock   driver.Clock
}

var (
	_ Sessions           = (*Default)(nil)
	_ driver.Initializer = (*Default)(nil)
)

// New returns a Default, not yet initialised. Unusable options are cache.OptionErrors.
func New(options Options) (*Default, error) {
	options = options.WithDefaults()
	if err := options.Validate(); err != nil {
		return nil, err
	}
	return &Default{options: options}, nil
}

// Format implements fmt.Formatter: no verb and no flag prints the sessions that are within.
func (d *Default) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "sessioncache.Default") }

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
		TagsOf:   func(r *record) []string { return d.tags(&r.CachedSession) },
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
	st, err := d.open()
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

// GetOrLoad implements Sessions. It is the call for every request: what load read is never cached
// after the session was deleted meanwhile, a slow or failing cache costs no more than its timeout
// and then counts as a miss, and a session that expires soon is renewed (Options.Renew).
func (d *Default) GetOrLoad(ctx context.Context, token string, load Load) (*CachedSession, bool, error) {
	st, err := d.open()
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

// Update implements Sessions. Use it for log-in, and for every change of a session.
func (d *Default) Update(ctx context.Context, token string, write Load) (*CachedSession, error) {
	st, err := d.open()
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

// Set implements Strategy. A Set that runs beside a Delete may win: the session would be back. Use
// Update, which cannot, where the session was just written to the database, and GetOrLoad where it
// was read. A session that has expired is removed instead.
func (d *Default) Set(ctx context.Context, session *CachedSession) error {
	st, err := d.open()
	if err != nil {
		return err
	}
	if session == nil || !d.valid(session.Token.Reveal()) {
		return ErrTokenMismatch
	}
	now := st.clock.Now()
	return st.records.Set(ctx, session.Token.Reveal(), d.record(session, now))
}

// Delete implements Strategy. Call it after the database has committed. Where it could not be applied, a
// cache.PendingError says until when other nodes may still serve the session; this one does not. Call it
// for sessions that the database has, or Get finds: any other is owed as well while the storage fails.
func (d *Default) Delete(ctx context.Context, token string) error {
	st, err := d.open()
	if err != nil || !d.valid(token) {
		return err
	}
	return d.bounded(st, st.records.Delete(ctx, token))
}

// DeleteUser implements Sessions: "log out everywhere". Call it after the database has committed.
func (d *Default) DeleteUser(ctx context.Context, user ID) error {
	return d.revoke(ctx, d.userTag(user))
}

// InvalidateTags implements Sessions. Call it after the database has committed.
func (d *Default) InvalidateTags(ctx context.Context, tags ...string) error {
	st, err := d.open()
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
	st, err := d.open()
	if err != nil {
		return err
	}
	return d.bounded(st, st.service.InvalidateTags(ctx, tag))
}

// bounded makes a revocation that is not applied yet say what is known of sessions: they are served
// for no longer than StaleAfter, wherever they are.
func (d *Default) bounded(st *state, err error) error {
	var pending *cache.PendingError
	if soft := st.clock.Now().Add(d.options.StaleAfter); errors.As(err, &pending) && soft.Before(pending.Until) {
		pending.Until = soft
	}
	return err
}

// valid reports whether token may be that of a session.
func (d *Default) valid(token string) bool {
	return token != "" && (d.options.ValidToken == nil || d.options.ValidToken(token))
}

func (d *Default) open() (*state, error) {
	if st := d.state.Load(); st != nil {
		return st, nil
	}
	return nil, cache.ErrNotStarted
}

// run loads or writes a session, and sees to it that what comes back belongs to token.
func (d *Default) run(ctx context.Context, st *state, token string, load Load) (*record, error) {
	began := st.clock.Now() // what load reads may be as old as this
	session, err := load(ctx)
	if err != nil {
		return nil, err
	}
	if session == nil || session.Expired(st.clock.Now()) {
		return nil, cache.ErrNotFound
	}
	if !session.Token.IsZero() && session.Token.Reveal() != token {
		return nil, ErrTokenMismatch
	}
	return d.record(session, began), nil
}

// record copies session, as it is cached: soft expiry comes stale_after the read began, at the latest, and the
// storage keeps it no longer than it is of use there, by whatever clock the storage has.
func (d *Default) record(session *CachedSession, began time.Time) *record {
	r := newRecord()
	r.CachedSession = *session.Clone()
	if soft := began.Add(d.options.StaleAfter); r.CacheExpiry.IsZero() || r.CacheExpiry.After(soft) {
		r.CacheExpiry = soft
	}
	r.ttl = min(d.options.TTL, r.Expires.Sub(began), r.CacheExpiry.Sub(began))
	return r
}

// ttl is how long a session may stay in the cache, counted from when the read began; negative for one that must
// not be stored.
func ttl(r *record, now time.Time) time.Duration {
	if r.ttl <= 0 || r.Expired(now) || r.Stale(now) {
		return -1
	}
	return r.ttl
}

func (d *Default) allTag() string { return d.options.Prefix + ":all" }

func (d *Default) userTag(user ID) string { return fmt.Sprintf("%s:user:%s", d.options.Prefix, user) }

func (d *Default) tags(session *CachedSession) []string {
	var tags []string
	if session.User != nil {
		tags = append(tags, d.userTag(session.User.ID))
	}
	if d.options.Tags != nil {
		tags = append(tags, d.options.Tags(session)...)
	}
	return tags
}

// fresh reports whether a cached session may be served without asking the database.
func (d *Default) fresh(session *CachedSession, now time.Time) bool {
	return !session.Expired(now) && !session.Stale(now) &&
		!session.CacheExpiry.After(now.Add(d.options.StaleAfter))
}
