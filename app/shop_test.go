package main

import (
	"bytes"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/app/internal/web"
	"github.com/fxcache/fxcache/fxtest"
)

// errOutage is the error of a broken cache.
var errOutage = errors.New("the storage is on fire")

// testShop is a shop in the process of the test, with the parts that tests inspect.
type testShop struct {
	*fxtest.App
	url       string
	directory string // of the database
	db        *sql.DB
	store     *shop.Store
	api       *web.API
	log       logged
}

// startShop starts the real application with a storage that the test watches and breaks.
func startShop(t *testing.T, more ...fx.Option) *testShop {
	t.Helper()
	o := &testShop{directory: t.TempDir()}
	logger := slog.New(slog.NewTextHandler(&o.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var server *web.Server
	o.App = fxtest.New(t,
		wiring(options{address: "127.0.0.1:0", database: filepath.Join(o.directory, "shop.db")}, logger),
		fx.Populate(&server, &o.db, &o.store, &o.api),
		fx.Options(more...),
	)
	o.url = server.URL()
	return o
}

// count returns the result of a query for one number.
func (o *testShop) count(t *testing.T, query string) int {
	t.Helper()
	var n int
	if err := o.db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

func (o *testShop) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := o.db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// refuse makes the database fail in the middle of a transaction.
func (o *testShop) refuse(t *testing.T, what string) {
	t.Helper()
	o.exec(t, "CREATE TRIGGER refuse BEFORE "+what+" BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
}

// logged is a log that a test can read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
