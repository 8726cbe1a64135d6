// Command app is a small shop that shows how to use fxcache. It keeps login sessions and products
// in a SQLite database, and reads them through the cache that a configuration file selects.
//
//	go run ./app
//	curl -i localhost:8080/login -H 'Content-Type: application/json' -d '{"identifier":"bob@example.com","password":"bob"}'
//	curl -i localhost:8080/me -H 'Authorization: Bearer …'
//
// Read wiring.go first, then internal/web/api.go and session.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/fxcache/fxcache/app/internal/shop"
	"github.com/fxcache/fxcache/app/internal/web"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/config"
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2 // the command line or the configuration is invalid
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run runs the program until ctx ends, and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return exitUsage
	}
	if o.database == "" {
		directory, err := os.MkdirTemp("", "fxcache-shop-")
		if err != nil {
			return report(stderr, err)
		}
		defer func() { _ = os.RemoveAll(directory) }()
		o.database = filepath.Join(directory, "shop.db")
	}

	var store *shop.Store
	var server *web.Server
	app := fx.New(
		wiring(o, slog.New(slog.NewTextHandler(stderr, nil))),
		fx.Populate(&store, &server),
		fx.NopLogger, // fx would log every step; errors are returned anyway
	)
	if err := app.Err(); err != nil {
		return report(stderr, err)
	}
	start, cancel := context.WithTimeout(ctx, app.StartTimeout())
	defer cancel()
	if err := app.Start(start); err != nil {
		return report(stderr, err)
	}

	for _, account := range store.Seeded() {
		_, _ = fmt.Fprintf(stdout, "user %s, password %s, role %s\n", account.Identifier, account.Password, account.Role)
	}
	_, _ = fmt.Fprintln(stdout, "listening on", server.URL())

	status := exitOK
	select {
	case <-ctx.Done():
	case shutdown := <-app.Wait(): // the server failed
		status = shutdown.ExitCode
	}
	// ctx has ended, but stopping needs some time.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), app.StopTimeout())
	defer cancel()
	if err := app.Stop(end); err != nil {
		return report(stderr, err)
	}
	return status
}

// report writes why the application does not run, and returns the exit status. Only the root cause
// is shown: an operator who mistyped a key should not have to read how dig builds things.
func report(stderr io.Writer, err error) int {
	status := exitFailure
	var invalid *config.Error
	var unusable *cache.OptionError
	switch {
	case errors.As(err, &invalid):
		err, status = invalid, exitUsage
	case errors.As(err, &unusable): // some options can only be checked together, such as the length of a prefix
		err, status = dig.RootCause(err), exitUsage
	default:
		err = dig.RootCause(err)
	}
	_, _ = fmt.Fprintln(stderr, err)
	return status
}
