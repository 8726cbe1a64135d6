// Package drivertest is the conformance suite for a [driver.Strategy], whether it is in-process or
// remote. A strategy needs one test:
//
//	func TestConformance(t *testing.T) {
//		drivertest.Run(t, func(t testing.TB) driver.Strategy {
//			return mystrategy.New(mystrategy.Options{MaxSize: cache.MiB})
//		}, drivertest.Capacity(driver.MiB))
//	}
//
//	func BenchmarkStrategy(b *testing.B) {
//		drivertest.RunBenchmarks(b, newStrategy)
//	}
//
// Run calls the function once for each check. The function returns a strategy that is not
// initialised yet. Run calls its Init with a container like that of an application (see
// [NewInjector]), and Destroy at the end. Each check has a namespace of its own, so that all of
// them can share one server; those that fill a storage which evicts run alone, before the others.
// Use go test -race: many checks run goroutines for the race detector.
//
// The suite expects that a strategy can do everything. Say with an [Option] what it cannot do:
//
//	stores nothing at all                       NoRetention()
//	is not a driver.Leaser                       NoLeases()
//	never evicts                                NoEviction(), else say when: Capacity(bytes)
//	cannot count milliseconds                   TTLGranularity(time.Second)
//	leaves expiry to a server, with its clock   WallClock()
//	listens to ctx while its storage hangs      Stall(function), which proves it
//	shares its storage with other nodes         Another(function)
//	needs types that the application exports    Container(options, values...)
//
// The checks are grouped by topic. Select them by name:
//
//	go test -race -run 'TestConformance/Tags/ResetReplacesTags'
//
// The package also has two test doubles for code that uses a Strategy: [Clock], which moves only
// when told to, and [Record], which records operations, and can delay, block and fail them.
//
// The package must not know a particular strategy, or the Service.
package drivertest
