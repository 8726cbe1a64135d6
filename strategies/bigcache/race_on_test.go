//go:build race

package bigcache_test

// raceEnabled: the largest tests do a tenth, so that they take seconds under the race detector,
// too.
const raceEnabled = true
