// Package refreshing keeps one value that everybody needs, such as the tax rates, and loads it
// again when it is too old. It needs no cache and no storage.
package refreshing
