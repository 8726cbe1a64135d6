// Package schedules holds the deterministic race schedules: one file for each race, with the
// promise that is at stake and the model that judges it. It holds no other code.
//
// A schedule is one interleaving. Its actors run one at a time, from one point of interest to the
// next, and a random number generator says who goes on; so a seed is a schedule, and `go test -run
// <test> -seed <n>` repeats the one that failed. Time is that of testing/synctest: lease_ttl,
// lock_wait and deadlines pass when the schedule says so.
//
// The races that need a real server, or a real process that is stopped, come in that form too, with
// fewer schedules. `make mutants` shows which guard each of them would miss.
package schedules
