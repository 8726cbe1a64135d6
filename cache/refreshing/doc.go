// Package refreshing keeps one value that everybody needs, and refreshes it when it is stale. It
// needs no cache and no storage.
package refreshing
