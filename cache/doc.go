// Package cache is the part of fxcache that applications call: the [Service], and the typed,
// read-through [Cache] on top of it.
//
// It holds the rules that are the same for every storage: namespaces, limits, TTLs, leases, shared
// loads, pending revocations, errors and telemetry. It must not know a particular storage, the
// configuration library or uber/fx. So it works without fx; see the example of [NewService]. What a
// storage implements is in package cache/driver.
//
// # The way of a GetOrLoad
//
// A hit stays in the first three steps.
//
//  1. cache.go, Cache.GetOrLoad: makes the physical key, and detects a load within a load
//     (internal/chain).
//  2. service.go, read, calls store.go, get. That refuses while a revocation is pending
//     (cache/internal/revocation, Queue.Drain). Otherwise it calls the strategy, behind the circuit
//     breaker (store_call.go, withBreaker; cache/internal/breaker).
//  3. values.go: decode reads the bytes (cache/internal/entry), and judge applies the Policy. A
//     good entry is returned. A stale one is returned too, and refresh.go loads it again in the
//     background.
//  4. load.go, load, joins the flight of the key, or starts one (cache/internal/flight, Group.Do).
//     The flight runs in a goroutine of cache/internal/task and calls load.go, produce.
//  5. lease.go, await, asks for the lease on the key, or waits for whoever holds it. For a strategy
//     without leases, fenced.go grants them (internal/fence). If the storage fails, admission.go
//     limits the loads that run without a lease.
//  6. load.go, run, calls the application's loader. Meanwhile source.go extends the lease.
//  7. lease.go, fill: values.go, encode, makes the entry, and store.go, fill, stores it under the
//     lease. The strategy refuses it if anything was revoked since the lease was granted.
//  8. The flight gives every waiting caller a copy of the value (cache/internal/flight, finish).
//
// # The way of a Delete
//
//  1. cache.go, Cache.Delete, makes the physical keys. load.go, delete, adds how long entries of
//     this policy can live.
//  2. service.go, revoke, counts the call. store.go, revoke, calls the strategy. The breaker is not
//     asked.
//  3. On success, Queue.Applied (cache/internal/revocation) takes the keys out of the queue, in
//     case an earlier Delete of them was pending.
//  4. On failure, Queue.Add puts the keys into the queue and into the application's [Outbox]
//     (outbox.go), and the caller gets a [PendingError]. Until the queue is empty, reads fail at
//     step 2 of a GetOrLoad. A load that was running is not stored.
//  5. The queue tries again in the background, with store.go, apply. So does one reader at a time
//     (Queue.Drain), and Service.Stop (Queue.Flush).
//
// InvalidateTags and Clear go the same way, from step 2 on.
package cache
