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

// errOutage is what a broken cache says.
var errOutage = errors.New("the storage is on fire")

// opened is a shop within the test's process, with everything that a test may want to look at.
type opened struct {
	*fxtest.App
	url       string
	directory string // of the database
	db        *sql.DB
	store     *shop.Store
	api       *web.API
	log       logged
}

// open starts the application as it is, on a cache that the test watches and breaks.
func open(t *testing.T, more ...fx.Option) *opened {
	t.Helper()
	o := &opened{directory: t.TempDir()}
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
func (o *opened) count(t *testing.T, query string) int {
	t.Helper()
	var n int
	if err := o.db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

func (o *opened) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := o.db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// refuse makes the database fail in the middle of a transaction.
func (o *opened) refuse(t *testing.T, what string) {
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
