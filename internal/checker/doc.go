// Package checker looks for sessions that are served after they were revoked.
//
// Clients in several processes read, write and revoke sessions through sessioncache, on one
// strategy, while a nemesis breaks the storage, the network, the clock and the processes
// themselves. The database of record is a linearizable store in the process of the test. Two judges
// look at what the clients saw: porcupine, and a direct comparison of intervals. They must agree.
//
// The package holds the database ([Database]), the clients ([Work]) and the processes they run in
// ([Fleet]), the recorded history ([Event], [Window]), the judgement ([Judge]), the nemesis
// ([Nemesis]) and the report ([Report]). It is a module of its own, so that porcupine never reaches
// a user's build. docs/checkers.md says exactly what is checked, and how to run it.
package checker
