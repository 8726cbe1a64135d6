package fxcache

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/fxcache/fxcache/config"
	"github.com/fxcache/fxcache/internal/absent"
	"github.com/fxcache/fxcache/internal/panics"
)

// The sections of the configuration.
const (
	cachePath   = "cache"
	sessionPath = "session_cache"
)

// The built-in session strategies.
const (
	defaultSessions = "default"
	noopSessions    = "noop"
)

// environmentPrefix is the default prefix of the environment variables. The option Environment
// changes it.
const environmentPrefix = "FXCACHE_"

// build reads the configuration and makes the selected strategies. It returns all errors, joined.
func (r *runtime) build(in runtimeIn) error {
	var invalid error
	if r.source, invalid = load(in); r.source == nil {
		return invalid
	}
	p, err := newPlan(r, r.source, nil)
	if err = config.Join(invalid, err); err != nil {
		return err
	}
	if err := p.wrap(in.Wrappers); err != nil {
		return err
	}
	r.plan = p
	if r.service, err = p.newService(); err != nil {
		return p.locate(err)
	}
	r.sessions, err = p.newSessions(r.service)
	return err
}

// load merges the inputs. It refuses two inputs of the same kind: an fx group has no order, so it
// would be random which of them wins.
func load(in runtimeIn) (*config.Source, error) {
	inputs := []config.Input{config.Env(environmentPrefix)}
	var isolated, process []config.Input
	for _, e := range in.Environments {
		if e.isolated {
			isolated = append(isolated, e.Input)
		} else {
			process = append(process, e.Input)
		}
	}
	switch {
	case len(isolated) > 1 || len(process) > 1:
		return nil, errors.New("fxcache: Environment or WithoutEnvironment is given more than once")
	case len(isolated) == 1:
		inputs = isolated
	case len(process) == 1:
		inputs = process
	}
	var given []string
	for _, input := range in.Inputs {
		inputs = append(inputs, input.Input)
		given = append(given, input.option)
	}
	slices.Sort(given)
	if files := slices.DeleteFunc(slices.Clone(given), func(option string) bool { return option == "Override" }); len(files) > 1 || len(given)-len(files) > 1 {
		return nil, fmt.Errorf("fxcache: %s are given together: use ConfigFile (which takes several files) or Config, once, and Override once",
			strings.Join(given, " and "))
	}
	return config.Load(inputs...)
}

// unselected returns the strategies that have a section, although the configuration selects none
// and the default is another one. Sections beside a selected strategy are kept to be switched to.
func unselected(source *config.Source, path string, names []string, selected string) (found []string) {
	if source.IsSet(path + ".strategy") {
		return nil
	}
	for _, name := range names {
		if name != selected && source.IsSet(path+"."+name) {
			found = append(found, name)
		}
	}
	return found
}

// newStrategy calls a factory, which may fail or panic.
func newStrategy[S any](path, name string, build func() (S, error)) (strategy S, err error) {
	defer panics.CatchAs(&err, panicked(fmt.Sprintf("%s.%s: the factory", path, name)))
	strategy, err = build()
	var known *config.Error
	switch {
	case err != nil && !errors.As(err, &known):
		err = fmt.Errorf("%s.%s: %w", path, name, err)
	case err == nil && absent.Is(strategy):
		err = fmt.Errorf("%s.%s: the factory returned no strategy", path, name)
	}
	return strategy, err
}

// run calls the function that was passed to option. An error or panic names the option.
func run(option string, function any, call func()) (err error) {
	if absent.Is(function) {
		return fmt.Errorf("fxcache.%s: the function is nil", option)
	}
	defer panics.CatchAs(&err, panicked("fxcache."+option+": the function"))
	call()
	return nil
}

// validName matches the names of strategies. The name of a strategy is also the name of its
// section.
var validName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// index returns the factories by name, and all names in order.
func index[F any](factories []F, of func(F) (name string, complete bool), section reflect.Type, builtin ...string) (map[string]F, []string, error) {
	var errs []error
	byName := make(map[string]F)
	names := slices.Clone(builtin)
	reserved := append(optionNames(section), "stores") // which is no field
	for _, factory := range factories {
		name, complete := of(factory)
		switch {
		case !validName.MatchString(name):
			errs = append(errs, fmt.Errorf("a strategy is registered under the name %q: use lower case letters, digits, _ and -", name))
		case !complete:
			errs = append(errs, fmt.Errorf("the strategy %q is registered without New", name))
		case slices.Contains(names, name):
			errs = append(errs, fmt.Errorf("two strategies are registered under the name %q", name))
		case slices.Contains(reserved, name):
			errs = append(errs, fmt.Errorf("a strategy is registered under the name %q, which is an option", name))
		}
		byName[name] = factory
		names = append(names, name)
	}
	slices.Sort(names)
	return byName, names, errors.Join(errs...)
}

// optionNames returns the keys of a section.
func optionNames(section reflect.Type) []string {
	var names []string
	for _, field := range reflect.VisibleFields(section) {
		if name, _, _ := strings.Cut(field.Tag.Get("koanf"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}
