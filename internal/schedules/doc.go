// Package schedules holds the deterministic race schedules. Each race has a file, which states the
// guarantee at stake and the model that judges it. The package holds no other code.
//
// A schedule is one interleaving. Its actors run one at a time, from one point of interest to the
// next. A random number generator chooses the actor that runs next. So a random seed determines a
// schedule, and `go test -run <test> -seed <n>` repeats the one that failed. Time is that of
// testing/synctest, so the schedule decides when lease_ttl, lock_wait and deadlines pass.
//
// With the race detector each test plays a tenth of its schedules. `make schedules` plays them all.
//
// Races that need a real server, or a real process that is stopped, have tests with those too, with
// fewer schedules. `make mutants` shows which guard each of them would miss.
package schedules
