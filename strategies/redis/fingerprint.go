package redis

import (
	"encoding/json"
	"fmt"

	"github.com/fxcache/fxcache/cache/driver"
)

// format is the version of keys and entries, and of what nodes may expect of each other. It is 2
// since entries have a generation, and 3 since revocations wait for the lag.
const format = 3

// fingerprint is what the nodes of a namespace agree on. As text it is JSON. Fields that this
// release does not know are kept.
type fingerprint struct {
	// Format and Lanes say how keys and entries are made.
	Format int `json:"format"`
	Lanes  int `json:"lanes"`
	// ID identifies the storage. It is random, and changes after the contents were lost.
	ID      string `json:"id"`
	Settled bool   `json:"settled"`
	// LagMS is the lag that revocations wait for, and UsableMS the most that an L1 may use, both in
	// ms. Raise is the name of a raise that is under way, or empty. See lag.go.
	LagMS    int64  `json:"lag_ms,omitempty"`
	UsableMS int64  `json:"usable_ms,omitempty"`
	Raise    string `json:"raise,omitempty"`
}

// parse returns the fingerprint in raw, and false if there is none.
func parse(raw string) (f fingerprint, ok bool) {
	err := json.Unmarshal([]byte(raw), &f)
	return f, err == nil && f.Format > 0 && f.Lanes > 0 && f.ID != ""
}

func (f fingerprint) String() string {
	text, _ := json.Marshal(f) // never fails
	return string(text)
}

// agrees reports whether nodes with f and g find each other's entries.
func (f fingerprint) agrees(g fingerprint) bool { return f.Format == g.Format && f.Lanes == g.Lanes }

// edited returns raw with some fields changed, and the others as they are.
func edited(raw string, changes map[string]any) string {
	fields := make(map[string]json.RawMessage)
	_ = json.Unmarshal([]byte(raw), &fields) // it was parsed before
	for name, value := range changes {
		fields[name], _ = json.Marshal(value) // never fails
	}
	text, _ := json.Marshal(fields) // never fails
	return string(text)
}

// disagreement says that this node differs from the others.
type disagreement struct {
	namespace    string
	here, others fingerprint
}

func (e *disagreement) Error() string {
	return fmt.Sprintf("%v: the nodes do not agree: this one has lanes %d (format %d), the others of namespace %q have lanes %d (format %d)",
		driver.ErrUnavailable, e.here.Lanes, e.here.Format, e.namespace, e.others.Lanes, e.others.Format)
}

func (e *disagreement) Unwrap() error { return driver.ErrUnavailable }

// startError is what Init returns for it.
func (e *disagreement) startError() error {
	if e.here.Format != e.others.Format {
		return fmt.Errorf("redis: namespace %q has entries of format %d, and this release makes format %d; give it another namespace, "+
			"or change it as docs/redis.md says under \"Changing lanes\"",
			e.namespace, e.others.Format, e.here.Format)
	}
	return &driver.OptionError{Name: "lanes", Reason: fmt.Sprintf(
		"is %d here and %d on the nodes that use namespace %q: they would not see each other's revocations; set it to %d, "+
			"or change it on all nodes as docs/redis.md says under \"Changing lanes\"", e.here.Lanes, e.others.Lanes, e.namespace, e.others.Lanes)}
}
