package redistest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// view is what one node of a cluster believes about all of them, by node id.
type view map[string]member

// member is one line of CLUSTER NODES.
type member struct {
	id     string
	flags  []string
	master string // id, "-" for none
	link   string
	slots  [][2]int // first and last of each range
}

func (m member) has(flag string) bool { return slices.Contains(m.flags, flag) }

// reachable reports whether the node that was asked is connected to this one and considers it
// healthy.
func (m member) reachable() bool {
	bad := []string{"fail", "fail?", "handshake", "noaddr"}
	return m.link == "connected" && !slices.ContainsFunc(m.flags, func(flag string) bool { return slices.Contains(bad, flag) })
}

func (m member) owns(slot int) bool {
	return slices.ContainsFunc(m.slots, func(span [2]int) bool { return span[0] <= slot && slot <= span[1] })
}

// owners returns in a comparable form which node owns which slots and which node replicates which.
// It leaves out nodes without either, and masters that are down, because news of them spreads more
// slowly.
func (v view) owners() string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(v)) {
		if m := v[id]; len(m.slots) > 0 || m.master != "-" && !m.has("fail") {
			fmt.Fprintf(&b, "%.8s:%v of %.8s; ", id, m.slots, m.master)
		}
	}
	return b.String()
}

// view asks node.
func (c *Cluster) view(ctx context.Context, node *Server) (view, error) {
	reply, err := node.Do(ctx, "CLUSTER", "NODES")
	if err != nil {
		return nil, err
	}
	text, _ := reply.(string)
	seen := view{}
	for line := range strings.Lines(text) {
		// id address flags master ping-sent pong-received epoch link slot…
		words := strings.Fields(line)
		if len(words) < 8 || !slices.Contains(c.ids, words[0]) {
			return nil, fmt.Errorf("%s: CLUSTER NODES: %q", node.Addr(), line)
		}
		m := member{id: words[0], flags: strings.Split(words[2], ","), master: words[3], link: words[7]}
		for _, word := range words[8:] {
			if strings.HasPrefix(word, "[") { // a slot on the move; its owner's range holds it
				continue
			}
			first, last, isRange := strings.Cut(word, "-")
			if !isRange {
				last = first
			}
			from, errFrom := strconv.Atoi(first)
			to, errTo := strconv.Atoi(last)
			if errFrom != nil || errTo != nil {
				return nil, fmt.Errorf("%s: CLUSTER NODES: %q", node.Addr(), line)
			}
			m.slots = append(m.slots, [2]int{from, to})
		}
		seen[m.id] = m
	}
	return seen, nil
}

func (c *Cluster) anyView() (seen view) {
	c.t.Helper()
	seen, err := c.view(c.t.Context(), c.firstRunning())
	if err != nil {
		c.t.Fatalf("redistest: %v", err)
	}
	return seen
}

func (c *Cluster) firstRunning() *Server {
	c.t.Helper()
	alive := running(c.Nodes)
	if len(alive) == 0 {
		c.t.Fatal("redistest: no node of the cluster is running")
	}
	return alive[0]
}
