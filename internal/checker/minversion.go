package checker

// minVersions are the oldest versions that may still be read.
type minVersions struct {
	// revoked counts the revocations that returned nil. It holds on all nodes.
	revoked [Tokens]int64
	// all counts the updates that returned nil as well.
	all [Tokens]int64
	// node counts the revocations that are pending on a node. It holds on that node only.
	node map[int]*[Tokens]int64
}

func raise(minVersion *int64, to int64) { *minVersion = max(*minVersion, to) }

// of returns the minVersion of a token for one node.
func (f *minVersions) of(node, token int) int64 {
	if own := f.node[node]; own != nil {
		return max(f.all[token], own[token])
	}
	return f.all[token]
}

// apply raises the minVersions to what an event acknowledged. A failed operation raises none,
// because nobody knows whether it was applied or still will be.
func (f *minVersions) apply(e *Event, lossy bool) {
	for _, mark := range e.Acked {
		switch {
		case e.Outcome == Done && e.Kind.revokes():
			raise(&f.revoked[mark.Token], mark.Version)
			raise(&f.all[mark.Token], mark.Version)
		case e.Outcome == Done && !lossy:
			raise(&f.all[mark.Token], mark.Version)
		case e.Outcome == Pending:
			if f.node == nil {
				f.node = make(map[int]*[Tokens]int64)
			}
			if f.node[e.Node] == nil {
				f.node[e.Node] = &[Tokens]int64{}
			}
			raise(&f.node[e.Node][mark.Token], mark.Version)
		}
	}
}

// clone copies f.
func (f *minVersions) clone() minVersions {
	clone := *f
	clone.node = make(map[int]*[Tokens]int64, len(f.node))
	for node, own := range f.node {
		copied := *own
		clone.node[node] = &copied
	}
	return clone
}
