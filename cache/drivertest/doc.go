// Package drivertest proves that a [driver.Strategy] keeps its contract, ours or a third party's,
// in-process or remote. One test is enough:
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
// Run calls the function once per check and receives a strategy that is not initialised yet; it
// runs Init with a container that holds what the application's would (see [NewInjector]), and
// Destroy at the end. Each check has a namespace of its own, so that all of them can share one
// server. Run it with -race: many checks exist to give the race detector something to see.
//
// A strategy is expected to do everything; say what it cannot do, with an [Option]:
//
//	stores nothing at all                       NoRetention()
//	is not a driver.Leaser                       NoLeases()
//	never evicts                                NoEviction(), else say when: Capacity(bytes)
//	cannot count milliseconds                   TTLGranularity(time.Second)
//	leaves expiry to a server, with its clock   WallClock()
//	needs types that the application exports    Container(options, values...)
//
// The checks are grouped by topic, and can be selected by name:
//
//	go test -race -run 'TestConformance/Tags/ResetReplacesTags'
//
// The package also holds the doubles that tests of anything above a Strategy need: [Clock], which
// moves only when told, and [Record], which sees, delays, blocks and fails operations.
//
// What must not live here: anything that knows a particular strategy, or Service.
package drivertest
