package fxcache_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/sessioncache"
)

type Product struct{ Name string }

func NewProducts(service *cache.Service) (*cache.Cache[Product], error) {
	return cache.New(service, "products", cache.Policy[Product]{TTL: time.Minute})
}

func Show(lc fx.Lifecycle, products *cache.Cache[Product]) {
	lc.Append(fx.StartHook(func(ctx context.Context) error {
		lamp, err := products.GetOrLoad(ctx, "lamp", func(context.Context) (Product, error) {
			return Product{Name: "Lamp"}, nil // SELECT … FROM product
		})
		fmt.Println(lamp.Name, err)
		return err
	}))
}

// One option adds the cache to an application. With fxcache.ConfigFile("fxcache.yaml") too, the
// operator chooses the storage strategy.
func Example() {
	app := fx.New(fxcache.Module, fx.Provide(NewProducts), fx.Invoke(Show), fx.NopLogger)
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
	}
	defer func() { _ = app.Stop(context.Background()) }()
	// Output: Lamp <nil>
}

// The application goes on with the last good configuration, and follows its file. An administrator
// can ask for a reload too.
func ExampleWatch() {
	folder, err := os.MkdirTemp("", "fxcache-")
	if err != nil {
		fmt.Println(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path := filepath.Join(folder, "fxcache.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			fmt.Println(err)
		}
	}
	write("cache: {strategy: bigcache}")

	var reloader *fxcache.Reloader
	app := fx.New(fxcache.Module, fxcache.ConfigFile(path), fxcache.Watch(), fxcache.WithoutEnvironment(nil), fx.Populate(&reloader),
		fx.Supply(slog.New(slog.DiscardHandler)), fx.NopLogger)
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		fmt.Println(err)
	}
	defer func() { _ = app.Stop(ctx) }()

	write("cache: {stratgy: bigcache}")
	fmt.Println(strings.ReplaceAll(reloader.Reload(ctx).Error(), folder, "…"))
	write("cache:\n  strategy: bigcache # as before\n")
	fmt.Println(reloader.Reload(ctx), reloader.Status().Generation)
	// Output:
	// invalid configuration: 1 problem:
	//   cache.stratgy (…/fxcache.yaml): unknown key; did you mean "strategy"?
	// <nil> 1
}

// Database is the application's own.
type Database struct{}

func (Database) Insert(context.Context, *sessioncache.CachedSession) error { return nil }
func (Database) Session(context.Context, string) (*sessioncache.CachedSession, error) {
	return nil, nil
}
func (Database) Delete(context.Context, string) error { return nil }

type Auth struct {
	Sessions sessioncache.Sessions
	DB       Database
}

// Authenticate runs for every request.
func (a *Auth) Authenticate(ctx context.Context, token string) (*sessioncache.CachedSession, bool, error) {
	return a.Sessions.GetOrLoad(ctx, token, func(ctx context.Context) (*sessioncache.CachedSession, error) {
		return a.DB.Session(ctx, token)
	})
}

// LogIn writes the session to the database and then to the cache; a log-out in between wins.
func (a *Auth) LogIn(ctx context.Context, token string, session *sessioncache.CachedSession) error {
	_, err := a.Sessions.Update(ctx, token, func(ctx context.Context) (*sessioncache.CachedSession, error) {
		return session, a.DB.Insert(ctx, session)
	})
	return err
}

// LogOut commits first. An error from the cache reaches the user: the session may still be served.
func (a *Auth) LogOut(ctx context.Context, token string) error {
	if err := a.DB.Delete(ctx, token); err != nil {
		return err
	}
	return a.Sessions.Delete(ctx, token)
}

// Sessions are read through, written through, and revoked after the database has committed.
func Example_sessions() {
	auth := &Auth{}
	app := fx.New(fxcache.Module, fx.Populate(&auth.Sessions), fx.NopLogger)
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		fmt.Println(err)
	}
	defer func() { _ = app.Stop(ctx) }()

	session := &sessioncache.CachedSession{ID: "1", User: &sessioncache.User{ID: "42"}, Expires: time.Now().Add(time.Hour)}
	fmt.Println(auth.LogIn(ctx, "secret token", session))
	cached, found, err := auth.Authenticate(ctx, "secret token")
	fmt.Println(cached.User.ID, found, err)
	fmt.Println(auth.LogOut(ctx, "secret token"))
	_, found, err = auth.Authenticate(ctx, "secret token")
	fmt.Println(found, err)
	// Output:
	// <nil>
	// 42 true <nil>
	// <nil>
	// false <nil>
}

// hexJSON is a codec of the application's own. The cache.Codec within has the other methods.
type hexJSON struct{ cache.Codec }

func (hexJSON) Name() string { return "hexjson" }

func (c hexJSON) Append(dst []byte, value any) ([]byte, error) {
	data, err := c.Codec.Append(nil, value)
	return hex.AppendEncode(dst, data), err
}

func (c hexJSON) Unmarshal(data []byte, target any) error {
	decoded, err := hex.AppendDecode(nil, data)
	if err != nil {
		return err
	}
	return c.Codec.Unmarshal(decoded, target)
}

// `cache.codec: hexjson` selects the codec, and `cache.codec: hexjson+zstd` the same in
// compression.
func ExampleRegisterCodec() {
	var service *cache.Service
	app := fx.New(fxcache.Module, fx.NopLogger, fx.Populate(&service),
		fxcache.RegisterCodec(hexJSON{cache.JSON{}}),
		fxcache.Override(map[string]any{"cache.codec": "hexjson+zstd"})) // or in the file
	fmt.Println(app.Err(), service.Options().Codec.Name())
	// Output: <nil> hexjson+zstd
}
