//go:build !race

package bigcache_test

const raceEnabled = false
