// Package entry holds the bytes of a stored entry: the header, which says what the rest is, the
// stamp of caches that refresh their entries, and the encoded value. It knows no storage and no
// cache.
package entry
