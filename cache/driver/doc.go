// Package driver is for authors of storage strategies. It holds what a strategy implements
// ([Strategy] and its optional parts, see [Features]), what it is given ([Injector], [Limits],
// [Clock], [Decoder]), and the errors that it returns. Applications use package cache.
//
// A strategy that another one decorates is asked for its optional parts once, by [FeaturesOf].
// Package drivertest has the conformance suite that every strategy passes.
package driver
