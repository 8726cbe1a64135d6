package fxcache

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/codec"
	"github.com/fxcache/fxcache/internal/absent"
	"github.com/fxcache/fxcache/internal/nearest"
	"github.com/fxcache/fxcache/internal/panics"
)

// codecs are the registered codecs.
type codecs []cache.Codec

// validate reports every codec that the configuration could not select.
func (registered codecs) validate() error {
	var errs []error
	names := codec.Names()
	for _, c := range registered {
		name, err := codecName(c)
		switch {
		case err != nil:
			errs = append(errs, err)
		case !validName.MatchString(name):
			errs = append(errs, fmt.Errorf("a codec is registered under the name %q: use lower case letters, digits, _ and -", name))
		case slices.Contains(names, name):
			errs = append(errs, fmt.Errorf("two codecs are registered under the name %q", name))
		}
		names = append(names, name)
	}
	return errors.Join(errs...)
}

func codecName(c cache.Codec) (name string, err error) {
	if absent.Is(c) {
		return "", errors.New("fxcache.RegisterCodec: the codec is nil")
	}
	defer panics.CatchAs(&err, panicked("fxcache.RegisterCodec: the method Name"))
	return c.Name(), nil
}

// byName returns the built-in or registered codec with this name, in compression if it ends with
// "+zstd". The error lists the names, and has the nearest one.
func (registered codecs) byName(name string) (cache.Codec, error) {
	c, err := codec.ByName(name, registered...)
	if err == nil {
		return c, nil
	}
	if guess := nearest.To(name, codec.NamesWith(registered...), len(name)); guess != "" {
		return nil, fmt.Errorf("%w; did you mean %q?", err, guess)
	}
	return nil, err
}

// check reports a codec that there is not.
func (registered codecs) check(key, name string) error {
	if _, err := registered.byName(name); err != nil {
		return &cache.OptionError{Name: key, Reason: err.Error()}
	}
	return nil
}
