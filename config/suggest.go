package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fxcache/fxcache/internal/nearest"
)

// unknown returns the message for the key at path, which is not in names. hint knows what other
// systems call the keys of the section.
func (known schema) unknown(from origin, path string, names []string, hint func(key string) string) string {
	key := path[strings.LastIndex(path, delimiter)+1:]
	if parts := strings.Split(key, "."); len(parts) > 1 {
		return fmt.Sprintf("unknown key: a dot does not open a section; write %s: on a line of its own, and the rest below it", shownKey(parts[0]))
	}
	key = strings.TrimSuffix(shownKey(key), "…")
	if i := slices.IndexFunc(names, func(name string) bool { return compact(name) == compact(key) }); i >= 0 {
		return fmt.Sprintf("unknown key; did you mean %q?", names[i])
	}
	if name := nearest.To(key, names, 2); name != "" && len(key) > 5 { // a short key may be a word of its own
		return fmt.Sprintf("unknown key; did you mean %q?", name)
	}
	if place := known.place(path, key); place != "" && from.environment != "" {
		return "unknown key; did you mean " + variableOf(from.environment, strings.Split(place, delimiter)) + "?"
	} else if place != "" {
		return "unknown key here; did you mean " + strings.Trim(from.prefix+"."+displayPath(place), ".") + "?"
	}
	if advice := hint(compact(key)); advice != "" {
		return "unknown key; " + advice
	}
	if name := nearest.To(key, names, len(key)); name != "" {
		return fmt.Sprintf("unknown key; did you mean %q?", name)
	}
	if len(names) == 0 {
		return "unknown key; there are no keys here"
	}
	return "unknown key; valid keys: " + strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), ", ")
}

// compact returns a key without what only its spelling differs in: client_name, client-name and
// clientName.
func compact(key string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(key))
}
