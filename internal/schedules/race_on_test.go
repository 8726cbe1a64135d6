//go:build race

package schedules_test

// raced divides the number of schedules: the race detector makes them slow, and finds what it can
// find in a few of them.
const raced = 10
