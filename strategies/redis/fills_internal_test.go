package redis

import "testing"

// Two parts of a batch have one token, and yet something may have been invalidated between them:
// the later lease would vouch for the earlier one.
func TestAlikeItems(t *testing.T) {
	t.Parallel()
	one := item{
		state: leaseState{token: "t", epoch: "e", sequence: "1"}, ref: keyRef{name: "one"}, value: "one", caller: 1,
		ttl: "1000", fixed: "f", tags: []string{generation, "a"},
	}
	other := one
	other.ref.name, other.value, other.caller, other.tags = "other", "other", 2, []string{generation, "a"}
	if !one.alike(&other) {
		t.Error("key and value make a difference")
	}
	for what, differ := range map[string]func(*item){
		"token":    func(i *item) { i.state.token = "u" },
		"epoch":    func(i *item) { i.state.epoch = "f" },
		"sequence": func(i *item) { i.state.sequence = "2" },
		"TTL":      func(i *item) { i.ttl = "1001" },
		"expiry":   func(i *item) { i.fixed = "g" },
		"tags":     func(i *item) { i.tags = []string{generation, "b"} },
	} {
		different := other
		differ(&different)
		if one.alike(&different) {
			t.Errorf("the %s makes no difference", what)
		}
	}
}
