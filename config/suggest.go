package config

import (
	"fmt"
	"slices"
	"strings"
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
	if name := nearest(key, names, 2); name != "" && len(key) > 5 { // a short key may be a word of its own
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
	if name := nearest(key, names, len(key)); name != "" {
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

// nearest returns the name that key most likely misspells, or "". It accepts a third of the letters
// as wrong, but at least one and at most limit.
func nearest(key string, names []string, limit int) string {
	best, found := limit+1, ""
	for _, name := range slices.Sorted(slices.Values(names)) {
		allowed := max(1, max(len(key), len(name))/3)
		if d := distance(strings.ToLower(key), name); d <= allowed && d < best {
			best, found = d, name
		}
	}
	return found
}

// distance is the Levenshtein distance, but two swapped letters count as one mistake (optimal
// string alignment). Swapping is the most common typo. As two mistakes it would cost "ttl" two of
// its three letters.
func distance(a, b string) int {
	if len(a)*len(b) > 1<<16 {
		return len(a) + len(b) // too long to be a misspelt key, and the comparison is quadratic
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
