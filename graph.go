package fxcache

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache/cache"
	"github.com/fxcache/fxcache/cache/driver"
)

// rueidisClient is what the strategy of that name takes from the container. Only the package of the
// strategy knows the type.
const (
	rueidisClient = "rueidis.Client"
	redisStrategy = "redis"
)

// provides reports whether the application has a constructor of a type with that name. fx tells
// nobody which types are provided, except in the picture that it draws for Graphviz: an optional
// parameter is also absent if its constructor lacks something. Two types of one name, in two
// packages of one name, are not told apart.
func provides(graph fx.DotGraph, name string) bool {
	node := strconv.Quote(name) + " [label="
	return slices.ContainsFunc(strings.Split(string(graph), "\n"), func(line string) bool {
		return strings.HasPrefix(strings.TrimSpace(line), node)
	})
}

// provided is what Export has found out about one type.
type provided struct{}

// checkProvided says what is wrong if nobody provides a T. fx would name the type, among functions
// of its own.
func checkProvided[T any](graph fx.DotGraph) (provided, error) {
	if t := reflect.TypeFor[T](); !provides(graph, t.String()) {
		return provided{}, fmt.Errorf("fxcache.Export[%v]: the application does not provide this type: add fx.Provide with a constructor of it, "+
			"or remove the Export", t)
	}
	return provided{}, nil
}

// unused says what the application provides and the cache does not use, and what to do about it.
func (in injected) unused() (warnings []string) {
	nothing := func(name string, absent bool) {
		if absent && provides(in.Graph, name) {
			warnings = append(warnings, fmt.Sprintf("the application provides a %s that the cache does not use: it is nil, or its constructor lacks something. "+
				"Add fxcache.Export[%s]() to the fx options, and fx says what it lacks", name, name))
		}
	}
	nothing(reflect.TypeFor[cache.Outbox]().String(), in.Outbox == nil)
	nothing("*slog.Logger", in.Logger == nil)
	nothing("metric.MeterProvider", in.MeterProvider == nil)
	nothing(reflect.TypeFor[driver.Clock]().String(), in.Clock == nil)
	nothing(reflect.TypeFor[cache.Codec]().String(), in.Codec == nil)
	exported := slices.ContainsFunc(in.Runtime.exports, func(e export) bool { return e.of.String() == rueidisClient })
	if in.Runtime.uses(redisStrategy) && !exported && provides(in.Graph, rueidisClient) {
		warnings = append(warnings, "the application provides a rueidis.Client that the cache does not use: it makes connections of its own. "+
			"To lend it the client, add fxcache.Export[rueidis.Client]() to the fx options")
	}
	return warnings
}
