package fxcache

import (
	"fmt"
	"os"
	"reflect"

	"github.com/knadh/koanf/v2"
	"go.uber.org/dig"
	"go.uber.org/fx"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/sessioncache"
)

// ConfigFile reads the configuration from files. The extension says whether a file is YAML, TOML or
// JSON. Later files win over earlier ones. Use either ConfigFile or Config, and use it once.
// Without them, the defaults and the environment apply.
func ConfigFile(paths ...string) fx.Option {
	return supply("inputs", input{option: "ConfigFile", Input: config.File(paths...)})
}

// Config takes the configuration from a koanf that the application already has. path is where the
// configuration starts in k, and "" means the root of k: the sections are `<path>.cache` and
// `<path>.session_cache`. k is never changed. It is read when the application is built, and by each
// reload: change it only if your koanf is safe for that.
func Config(k *koanf.Koanf, path string) fx.Option {
	return supply("inputs", input{option: "Config", Input: config.From(k, path)})
}

// Override sets configuration values in code. They win over files and the environment. Keys are
// paths, such as "cache.strategy", or nested maps. Each reload reads the map again, so it must not
// change. Give it once.
func Override(values map[string]any) fx.Option {
	return supply("inputs", input{option: "Override", Input: config.Values(values)})
}

// Environment chooses which environment variables configure the cache: those that start with
// prefix. Without this option the prefix is FXCACHE_. A nil environ means os.Environ. A test passes
// a list of its own, which replaces the environment of the process in all cases. A test that needs
// no variables uses WithoutEnvironment.
func Environment(prefix string, environ func() []string) fx.Option {
	e := environment{isolated: environ != nil}
	if environ == nil {
		environ = os.Environ
	}
	e.Input = config.Environ(prefix, environ)
	return supply("environments", e)
}

// WithoutEnvironment makes the module ignore environment variables. It is for tests, which must not
// depend on the variables of a machine. defaults are the values of keys that are configured
// nowhere. Their keys are written as in Override, and nil keeps the usual defaults. Give it once,
// and do not combine it with an Environment that has a list of its own.
func WithoutEnvironment(defaults map[string]any) fx.Option {
	return supply("environments", environment{Input: config.Defaults(defaults), isolated: true})
}

// Register adds the factory of a storage strategy. `cache.strategy: <name>` selects the strategy.
// Its section is `cache.<name>`.
func Register(factory driver.Factory) fx.Option { return supply("factories", factory) }

// RegisterSession adds the factory of a session strategy. `session_cache.strategy: <name>` selects
// the strategy. Its section is `session_cache.<name>`.
func RegisterSession(factory sessioncache.Factory) fx.Option {
	return supply("session_factories", factory)
}

// RegisterCodec adds a codec. `cache.codec: <name>` selects it, and `cache.codec: <name>+zstd` the
// same with compression, as by codec.Compress. The name is what the codec's method Name returns:
// lower case letters, digits, _ and -, and none of the built-in names. A cache.Codec that the
// application provides to fx is used instead, and `cache.codec` must not be set then.
func RegisterCodec(codec cache.Codec) fx.Option { return supply("codecs", codec) }

// CacheOptions changes the options of *cache.Service after the configuration was read. Use it to
// set a codec, clock or logger of the application's own. Each reload calls it once more, to check
// the new configuration.
func CacheOptions(change func(*cache.Options)) fx.Option { return supply("cache_options", change) }

// SessionOptions changes the options of the default session strategy after the configuration was
// read. Use it for Tags and Renew, which are code. Each reload calls it once more, to check the new
// configuration.
func SessionOptions(change func(*sessioncache.Options)) fx.Option {
	return supply("session_options", change)
}

// SessionOptionsFrom is SessionOptions for a change that needs something from the application, such
// as its database for Renew. constructor is any fx constructor of a func(*sessioncache.Options).
// Its parameters must not depend on the cache.
func SessionOptionsFrom(constructor any) fx.Option {
	change := reflect.TypeFor[func(*sessioncache.Options)]()
	if t := reflect.TypeOf(constructor); t == nil || t.Kind() == reflect.Func && (t.NumOut() == 0 || t.Out(0) != change) {
		return fx.Error(fmt.Errorf("fxcache.SessionOptionsFrom: needs a constructor of a %v, not a %v", change, t))
	}
	return fx.Provide(fx.Annotate(constructor, fx.ResultTags(`group:"fxcache.session_options"`)))
}

// Wrap decorates the selected storage strategy of every store, whichever it is. The wrapped
// strategy must keep the optional interfaces that are to be used, above all driver.Leaser.
func Wrap(wrap func(driver.Strategy) driver.Strategy) fx.Option {
	return supply("wrappers", wrapper{"Wrap", wrap, func(_ string, strategy driver.Strategy) driver.Strategy { return wrap(strategy) }})
}

// WrapStores is Wrap for a function that wants to know the name of the store.
func WrapStores(wrap func(store string, strategy driver.Strategy) driver.Strategy) fx.Option {
	return supply("wrappers", wrapper{"WrapStores", wrap, wrap})
}

// wrapper is the function that was passed to Wrap or WrapStores.
type wrapper struct {
	option   string
	function any // to see whether it is nil
	wrap     func(store string, strategy driver.Strategy) driver.Strategy
}

// Export makes the application's T available to strategies: they resolve it in Init with
// driver.Resolve. The T is built with the application even if no strategy asks for it. It is an
// error if the application does not provide a T.
func Export[T any]() fx.Option {
	return fx.Provide(
		fx.Annotate(exportOf[T], fx.ResultTags(`group:"fxcache.exports"`)),
		fx.Annotate(checkProvided[T], fx.ResultTags(`group:"fxcache.provided"`)),
	)
}

// input is one source of configuration, and the name of the option that gave it.
type input struct {
	config.Input
	option string
}

// environment replaces the default environment.
type environment struct {
	config.Input
	isolated bool // true: not the environment of the process
}

// export puts one exported value into a container.
type export struct {
	of  reflect.Type
	put func(*dig.Container) error
}

func exportOf[T any](value T) export {
	return export{reflect.TypeFor[T](), func(c *dig.Container) error {
		return c.Provide(func() T { return value })
	}}
}

// supply adds value to a group. It uses a constructor because fx.Supply loses the static type of
// functions and structs.
func supply[T any](group string, value T) fx.Option {
	return fx.Provide(fx.Annotate(
		func() T { return value },
		fx.ResultTags(fmt.Sprintf(`group:"fxcache.%s"`, group)),
	))
}
