//go:build sabotage

package sabotage

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Enabled says whether this build can be sabotaged.
const Enabled = true

var out = chosen(Guard(os.Getenv(Variable)))

func chosen(name Guard) Guard {
	if name == "" || slices.Contains(Guards(), name) {
		return name
	}
	fmt.Fprintf(os.Stderr, "sabotage: %s=%s: there is no such guard; there are:\n", Variable, name)
	for _, guard := range Guards() {
		fmt.Fprintln(os.Stderr, "\t"+string(guard))
	}
	os.Exit(2)
	return ""
}

// Off reports whether guard is taken out.
func Off(guard Guard) bool { return out == guard }

// Without returns text without the check of a guard that is off: replacement stands there instead. It
// panics when text does not have check exactly once, in any build with the tag, so that a check which
// was rewritten is noticed.
func Without(text string, guard Guard, check, replacement string) string {
	if strings.Count(text, check) != 1 {
		panic(fmt.Sprintf("sabotage: %s: the text does not contain this once: %s", guard, check))
	}
	if !Off(guard) {
		return text
	}
	return strings.Replace(text, check, replacement, 1)
}
