package sessioncache_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/fxcache/fxcache/sessioncache"
)

func TestExpiredAndStale(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cases := map[string]struct {
		at   time.Time
		over bool
	}{
		"a moment ago": {now.Add(-1), true},
		"now":          {now, true},
		"in a moment":  {now.Add(1), false},
		"never set":    {time.Time{}, true},
	}
	for name, c := range cases {
		if got := (&sessioncache.CachedSession{Expires: c.at}).Expired(now); got != c.over {
			t.Errorf("Expires %s: Expired is %t", name, got)
		}
		if got := (&sessioncache.CachedSession{CacheExpiry: c.at}).Stale(now); got != c.over {
			t.Errorf("CacheExpiry %s: Stale is %t", name, got)
		}
	}
}

func TestHasPermission(t *testing.T) {
	t.Parallel()
	user := goldenSession().User
	user.ChannelPermissions = append(user.ChannelPermissions, sessioncache.ChannelPermissions{ID: "2", Permissions: []string{"Late"}})
	cases := []struct {
		user       *sessioncache.User
		channel    sessioncache.ID
		permission string
		want       bool
	}{
		{user, "1", "Owner", true},
		{user, "3", "ReadOrder", true},
		{user, "2", "Late", true},
		{user, "1", "ReadOrder", false},
		{user, "2", "Owner", false},
		{user, "", "Owner", false},
		{user, "1", "", false},
		{user, "1", "owner", false},
		{nil, "1", "Owner", false},
		{&sessioncache.User{}, "", "", false},
	}
	for _, c := range cases {
		if got := c.user.HasPermission(c.channel, c.permission); got != c.want {
			t.Errorf("HasPermission(%q, %q) is %t", c.channel, c.permission, got)
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	t.Parallel()
	original := goldenSession()
	original.CustomFields["empty"] = []any{}
	original.CustomFields["nothing"] = map[string]any(nil)
	clone := original.Clone()
	if !reflect.DeepEqual(clone, original) {
		t.Fatalf("got %#v", (*fieldwise)(clone))
	}

	clone.ID = "changed"
	clone.User.ID = "changed"
	clone.User.ChannelPermissions[0].Permissions[0] = "changed"
	clone.User.ChannelPermissions[0].Code = "changed"
	clone.CustomFields["new"] = 1
	clone.CustomFields["bytes"].([]byte)[0] = 9
	clone.CustomFields["strings"].([]string)[0] = "changed"
	list := clone.CustomFields["list"].([]any)
	list[0] = "changed"
	list[2].([]any)[0] = "changed"
	clone.CustomFields["map"].(map[string]any)["inner"].(map[string]any)[""] = "changed"

	want := goldenSession()
	want.CustomFields["empty"] = []any{}
	want.CustomFields["nothing"] = map[string]any(nil)
	if !reflect.DeepEqual(original, want) {
		t.Errorf("the original changed with its clone: %#v", (*fieldwise)(original))
	}
}

func TestCloneOfNothing(t *testing.T) {
	t.Parallel()
	if (*sessioncache.CachedSession)(nil).Clone() != nil || (*sessioncache.User)(nil).Clone() != nil {
		t.Error("the clone of nil is not nil")
	}
	if clone := (&sessioncache.CachedSession{}).Clone(); !reflect.DeepEqual(clone, &sessioncache.CachedSession{}) {
		t.Errorf("got %#v", (*fieldwise)(clone))
	}
}

func TestCloneOfAMapInItselfEnds(t *testing.T) {
	t.Parallel()
	fields := map[string]any{}
	fields["list"] = []any{fields}
	fields["map"] = fields
	if clone := (&sessioncache.CachedSession{CustomFields: fields}).Clone(); len(clone.CustomFields) != 2 {
		t.Error("fields are missing")
	}
}
