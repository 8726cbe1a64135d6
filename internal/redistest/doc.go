// Package redistest starts real redis-server processes for tests: one server ([Start]), a cluster
// ([StartCluster]) or a master with replicas and sentinels ([StartSentinel]); with TLS, ACL users
// or any redis.conf line ([Option]). What it returns is ready for use: it answers, the cluster is
// ok, replicas are synced. A [Proxy] in front of a server is the network that misbehaves.
//
// It needs redis-server 7.0 or newer in PATH; [Require] says what happens without. It holds no
// Redis client library, so that a test never checks a client against itself: [Conn] is only for
// control and for looking behind the client under test.
//
// Servers listen on 127.0.0.1, outside the range that the system hands out to clients, so that a
// killed server finds its port free again. They end with the test, and also when the test binary
// panics, exits or is killed. When a test fails, the end of every server's log is in its output.
//
// Everything but Conn is safe for concurrent use. Verbs that cannot do their work, and everything
// that waits in vain, end the calling goroutine through t.Fatalf: outside of the test's own
// goroutine, have deferred calls release whoever waits for it.
package redistest
