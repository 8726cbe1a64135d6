// Package tiered is the strategy with two tiers: copies in the process (L1, the bigcache strategy)
// in front of a Redis that is shared (L2, the redis strategy). Reads are served from the copies. A
// revocation that has returned nil is honoured by the very next Get on every node all the same,
// because a node serves copies only while it knows that it has heard of every revocation that is
// older than the lag.
//
// The rules, and what each is for:
//
//   - A node reads an entry over its feed, a connection on which Redis tracks what was read
//     (CLIENT TRACKING), and keeps a copy of it. When the entry or the nonce of a tag changes,
//     Redis says so on the feed, and the copy is dropped.
//   - What was read is stored as a copy only under a lease that was taken before the read. A
//     change that is reported in between ends the lease, so that no copy is older than a report.
//   - Redis queues a report when it executes the change, before the answers to later commands of
//     the same connection. So once a heartbeat that was sent at t0 is answered, every change that
//     was executed before t0 has been reported. A node serves copies only while t0 is less than
//     the lag ago. It looks at the clock before it looks at the copy.
//   - A copy belongs to the feed that it was read over, and is not served once that has ended.
//   - The lag is published where all nodes look. Whoever revokes waits 1.1 times the lag after
//     Redis has answered, see [driver.Propagator]. Then every node has either heard of it, or
//     serves no copies.
//
// This is the argument of leases by Gray and Cheriton, "Leases: An Efficient Fault-Tolerant
// Mechanism for Distributed File Cache Consistency", SOSP 1989: a node may use a copy for a while
// after it has heard from the server, and a writer waits for that while.
package tiered
