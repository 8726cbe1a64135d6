// Package redistest starts real redis-server processes for tests: one server ([Start]), a cluster
// ([StartCluster]) or a master with replicas and sentinels ([StartSentinel]); with TLS, ACL users
// or any redis.conf line ([Option]). What it returns is ready for use: servers answer, the cluster
// is ok, and replicas are synced. A [Proxy] in front of a server simulates network faults.
//
// It needs redis-server 7.0 or newer in PATH. [Require] says what happens without it. The package
// uses no Redis client library, so that no test checks a client against itself. [Conn] is only for
// control, and for checks that bypass the client under test.
//
// Servers listen on 127.0.0.1, on ports outside the range that the system gives to clients. So a
// killed server finds its port free again. They end with the test, and also when the test binary
// panics, exits or is killed. When a test fails, the end of every server's log is in its output.
//
// Everything but Conn is safe for concurrent use. Methods that fail or time out end the calling
// goroutine through t.Fatalf. Outside of the test's own goroutine, deferred calls must release
// whatever waits for that goroutine.
package redistest
