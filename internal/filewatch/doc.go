// Package filewatch tells that the content of some files has changed: by an edit in place, by a
// rename over a file, or by a symbolic link on the way to it, as Kubernetes does it.
//
// The operating system only says when to look (fsnotify). What decides is the content: the SHA-256
// of all files together. A poll looks too, because notifications may be lost, and network file
// systems send none. A change counts once the content has stayed the same for a while.
package filewatch
