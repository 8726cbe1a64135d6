package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/fxtest"
	"github.com/fxcache/fxcache/sessioncache"
	"github.com/fxcache/fxcache/strategies/bigcache"
)

// breakable is a storage that can be down.
type breakable struct {
	*bigcache.Strategy

	down atomic.Bool
}

func (b *breakable) err() error {
	if b.down.Load() {
		return errOutage
	}
	return nil
}

func (b *breakable) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := b.err(); err != nil {
		return nil, false, err
	}
	return b.Strategy.Get(ctx, key)
}

func (b *breakable) Set(ctx context.Context, key string, value []byte, opts cache.SetOptions) error {
	if err := b.err(); err != nil {
		return err
	}
	return b.Strategy.Set(ctx, key, value, opts)
}

func (b *breakable) Delete(ctx context.Context, keys ...string) error {
	if err := b.err(); err != nil {
		return err
	}
	return b.Strategy.Delete(ctx, keys...)
}

func (b *breakable) InvalidateTags(ctx context.Context, tags ...string) error {
	if err := b.err(); err != nil {
		return err
	}
	return b.Strategy.InvalidateTags(ctx, tags...)
}

func (b *breakable) Clear(ctx context.Context) error {
	if err := b.err(); err != nil {
		return err
	}
	return b.Strategy.Clear(ctx)
}

func (b *breakable) GetOrLease(ctx context.Context, key string) ([]byte, bool, *driver.Lease, error) {
	if err := b.err(); err != nil {
		return nil, false, nil, err
	}
	return b.Strategy.GetOrLease(ctx, key)
}

func (b *breakable) Lease(ctx context.Context, key string) (*driver.Lease, error) {
	if err := b.err(); err != nil {
		return nil, err
	}
	return b.Strategy.Lease(ctx, key)
}

func (b *breakable) Fill(ctx context.Context, lease *driver.Lease, value []byte, opts cache.SetOptions) (bool, error) {
	if err := b.err(); err != nil {
		return false, err
	}
	return b.Strategy.Fill(ctx, lease, value, opts)
}

// withoutCache starts a shop whose storage is down. The storage recovers before the shop stops.
func withoutCache(t *testing.T) *testShop {
	t.Helper()
	storage := &breakable{}
	o := startShop(t, fxtest.Config("cache.strategy: breakable"), fxcache.Register(driver.Factory{
		Name: "breakable", New: func(cfg driver.Decoder) (_ driver.Strategy, err error) {
			storage.Strategy, err = bigcache.New(bigcache.Options{})
			return storage, err
		},
	}))
	storage.down.Store(true)
	t.Cleanup(func() { storage.down.Store(false) })
	return o
}

// ask sends a request to the shop without a network, which could not handle 10,000 of them.
func (o *testShop) ask(t *testing.T, method, path, body string, header http.Header) *httptest.ResponseRecorder {
	request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	request.Header = header
	response := httptest.NewRecorder()
	o.api.Handler().ServeHTTP(response, request)
	return response
}

// bearer returns the header of a client that presents token.
func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
}

const bobsLogIn = `{"identifier":"bob@example.com","password":"bob"}`

// together makes n concurrent calls of run.
func together(n int, run func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { run(i) })
	}
	all.Wait()
}

// junk returns a token that this shop has never issued. Some of them have the form of a real one.
func junk(i int) (token string, wellFormed bool) {
	switch i % 4 {
	case 0:
		return "x", false
	case 1:
		return strings.Repeat("A", 44), false
	case 2:
		return strings.Repeat("A", 42) + "B", false // the last letter has bits beyond the last byte
	default:
		return shop.NewToken(), true
	}
}

// TestJunkLogOuts: logouts with unknown tokens, sent by strangers while the cache is down, leave no
// pending revocation and fill neither the database nor the log.
func TestJunkLogOuts(t *testing.T) {
	t.Parallel()
	o := withoutCache(t)
	bob := visitor(t, o.url, "bob")
	before := o.count(t, pendingRows)
	logged := len(o.log.String())
	seen := len(o.Strategy.Operations())
	const requests, callers = 10_000, 20
	var answers [600]atomic.Int32
	together(callers, func(caller int) {
		for i := range requests / callers {
			token, wellFormed := junk(caller + i)
			status := o.ask(t, http.MethodPost, "/logout", "", bearer(token)).Code
			answers[status].Add(1)
			if (status == http.StatusUnauthorized) == wellFormed {
				t.Errorf("%q: status %d", token, status)
			}
		}
	})
	for _, operation := range o.Strategy.Operations()[seen:] {
		if operation.Name != fxtest.OpGet {
			// The pending revocation of bob's login is retried all the time.
			if operation.Name == fxtest.OpDelete && len(operation.Keys) == 1 {
				continue
			}
			t.Errorf("the cache saw %s of %d keys", operation.Name, len(operation.Keys))
		}
	}
	if n := o.count(t, pendingRows) - before; n > 0 {
		t.Errorf("%d revocations are pending for sessions that never existed", n)
	}
	if n := o.Cache.Stats().PendingRevocations; n > uint64(before) {
		t.Errorf("%d revocations are pending, want the previous %d", n, before)
	}
	if n := len(o.log.String()) - logged; n > 16<<10 {
		t.Errorf("%d bytes of log", n)
	}
	// Users with a session are not affected.
	bob.get(t, o.url+"/me").from(t, "database")
}

// TestJunkTokensCostNothing: an invalid token is refused without asking the cache or the database.
func TestJunkTokensCostNothing(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	if err := o.db.Close(); err != nil {
		t.Fatal(err)
	}
	o.Strategy.Reset()
	for i := range 100 {
		token, wellFormed := junk(i)
		if wellFormed {
			continue
		}
		for _, path := range []string{"POST /logout", "GET /me", "POST /logout-everywhere", "PUT /products/1", "PUT /roles/customer"} {
			method, path, _ := strings.Cut(path, " ")
			for name, header := range map[string]http.Header{"bearer": bearer(token), "cookie": {"Cookie": {"session=" + token}}} {
				if status := o.ask(t, method, path, "", header).Code; status != http.StatusUnauthorized {
					t.Errorf("%s %s with the %s %q: status %d", method, path, name, token, status)
				}
			}
		}
	}
	if operations := o.Strategy.Operations(); len(operations) > 0 {
		t.Errorf("the cache saw %d operations", len(operations))
	}
}

// TestLogOutOfAnUnknownSession: a session that the database no longer knows is still deleted from
// the cache.
func TestLogOutOfAnUnknownSession(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	bob := visitor(t, o.url, "bob")
	o.exec(t, `DELETE FROM sessions`)
	bob.get(t, o.url+"/me").from(t, "cache")
	bob.post(t, o.url+"/logout", nil).is(t, http.StatusNoContent)
	program(t, bob.token()).get(t, o.url+"/me").is(t, http.StatusUnauthorized)
	bob.post(t, o.url+"/logout", nil).is(t, http.StatusUnauthorized) // the cookie is gone
	program(t, bob.token()).post(t, o.url+"/logout", nil).is(t, http.StatusNoContent)
}

// TestLogInWithAnOldCookie: a login works while the cache is down, whatever the cookie is. The
// previous session has ended in the database, and the client learns that other instances may still
// serve it.
func TestLogInWithAnOldCookie(t *testing.T) {
	t.Parallel()
	o := withoutCache(t)
	bob := visitor(t, o.url, "bob")
	for round := range 3 {
		old := bob.token()
		again := bob.login(t, o.url, "bob@example.com", "bob")
		if warning, _ := again.json["warning"].(string); !strings.Contains(warning, "other instances") {
			t.Errorf("round %d: the client is not told: %s", round, again.text)
		}
		program(t, old).get(t, o.url+"/me").is(t, http.StatusUnauthorized)
		bob.get(t, o.url+"/me").from(t, "database")
		if n := o.count(t, sessionRows); n != 1 {
			t.Errorf("round %d: %d sessions in the database, want 1", round, n)
		}
	}
	for i := range 8 {
		token, _ := junk(i)
		response := o.ask(t, http.MethodPost, "/login", bobsLogIn, bearer(token))
		if response.Code != http.StatusOK || strings.Contains(response.Body.String(), "warning") {
			t.Errorf("with the token %q: status %d, %s", token, response.Code, response.Body)
		}
	}
}

// TestLogInsAtOnce: a few logins wait for their turn, and the others are asked to come back. Every
// session in the database has a client that knows its token.
func TestLogInsAtOnce(t *testing.T) { //nolint:paralleltest // it occupies all processors
	o := startShop(t)
	var mu sync.Mutex
	var tokens []string
	var busy atomic.Int32
	const clients = 1000
	together(clients, func(int) {
		response := o.ask(t, http.MethodPost, "/login", bobsLogIn, http.Header{"Content-Type": {"application/json"}})
		switch response.Code {
		case http.StatusOK:
			var body struct{ Token string }
			_ = json.Unmarshal(response.Body.Bytes(), &body)
			mu.Lock()
			tokens = append(tokens, body.Token)
			mu.Unlock()
		case http.StatusServiceUnavailable:
			busy.Add(1)
			if response.Header().Get("Retry-After") == "" {
				t.Error("a client is not told when to come back")
			}
		default:
			t.Errorf("status %d: %s", response.Code, response.Body)
		}
	})
	if t.Failed() {
		t.Log(o.log.String())
	}
	rows := o.count(t, sessionRows)
	if slices.Sort(tokens); rows != len(tokens) || len(slices.Compact(tokens)) != rows {
		t.Errorf("%d sessions in the database, %d tokens", rows, len(tokens))
	}
	if len(tokens) == 0 || busy.Load() < clients/2 {
		t.Errorf("%d were logged in and %d asked to come back, with %d processors", len(tokens), busy.Load(), runtime.GOMAXPROCS(0))
	}
	if n := len(o.log.String()); n > 256<<10 {
		t.Errorf("%d bytes of log", n)
	}
}

// TestLogInWhoseClientHasGone: no session is left, because nobody has its token and nobody could
// end it.
func TestLogInWhoseClientHasGone(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	left, handled := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		context.AfterFunc(r.Context(), func() { close(left) })
		o.api.Handler().ServeHTTP(w, r)
		close(handled)
	}))
	t.Cleanup(server.Close)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	// The client leaves when the cache is updated. The database has committed by then.
	o.Strategy.Before(fxtest.OpFill, func(context.Context, string) {
		leave()
		<-left
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/login", strings.NewReader(bobsLogIn))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if response, err := server.Client().Do(request); err == nil {
		_ = response.Body.Close()
		t.Fatal("there was an answer")
	}
	<-handled
	if n := o.count(t, sessionRows); n > 0 {
		t.Errorf("%d sessions whose token nobody has", n)
	}
}

// TestAnonymousSession: a session without a user, which this shop does not make, gives access to
// nothing and breaks nothing.
func TestAnonymousSession(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	token := shop.NewToken()
	err := o.Sessions.Set(t.Context(), &sessioncache.CachedSession{ID: "1", Token: cache.NewSecret(token), Expires: time.Now().Add(shop.SessionDuration)})
	if err != nil {
		t.Fatal(err)
	}
	if _, found, err := o.Sessions.Get(t.Context(), token); !found {
		t.Fatalf("the session is not cached: %v", err)
	}
	for _, path := range []string{"GET /me", "POST /logout-everywhere", "PUT /products/1", "PUT /roles/customer"} {
		method, path, _ := strings.Cut(path, " ")
		func() {
			defer func() {
				if value := recover(); value != nil {
					t.Errorf("%s %s: %v", method, path, value)
				}
			}()
			if status := o.ask(t, method, path, "{}", bearer(token)).Code; status != http.StatusUnauthorized {
				t.Errorf("%s %s: status %d", method, path, status)
			}
		}()
	}
	if status := o.ask(t, http.MethodPost, "/logout", "", bearer(token)).Code; status != http.StatusNoContent {
		t.Errorf("POST /logout: status %d", status)
	}
}

// TestLogOfAFlood: thousands of failing requests make one or two log lines, which say how many
// there were.
func TestLogOfAFlood(t *testing.T) {
	t.Parallel()
	o := startShop(t)
	if err := o.db.Close(); err != nil {
		t.Fatal(err)
	}
	const each = 500
	together(20, func(int) {
		for i := range each / 20 {
			for _, path := range []string{"/products/" + fmt.Sprint(100+i), "/me", "/healthz"} {
				if status := o.ask(t, http.MethodGet, path, "", bearer(shop.NewToken())).Code; status < http.StatusInternalServerError {
					t.Errorf("%s: status %d", path, status)
				}
			}
		}
	})
	if log := o.log.String(); len(log) > 16<<10 || strings.Count(log, "level=ERROR") < 3 {
		t.Errorf("%d bytes of log: %.2000s", len(log), log)
	}
}
