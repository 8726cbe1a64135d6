// Package nearest guesses which name was meant by a misspelt one.
package nearest

import (
	"slices"
	"strings"
)

// To returns the name that key most likely misspells, or "". It accepts a third of the letters as
// wrong, but at least one and at most limit.
func To(key string, names []string, limit int) string {
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
