package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error lists everything that is wrong with a configuration. Load, Decode, CheckSections and Join
// return it. Find it with errors.As. It never contains a secret.
type Error struct {
	// Problems is never empty. It is sorted by path and has no duplicates.
	Problems []Problem
}

// Problem is one thing that the operator has to correct.
type Problem struct {
	// Path is the full path of the key: "cache.bigcache.max_size", "cache.redis.addresses[1]". It
	// is empty if the problem is about a whole file, or not about a key.
	Path string
	// Origin says where the value came from: the path of a file, "inline", "koanf", "code",
	// "defaults" or "environment FXCACHE_CACHE__TTL". It is "default" if no input has set the key,
	// and empty if it would not help.
	Origin string
	// Message says what is wrong and what to write instead.
	Message string
}

// String returns "path (origin): message", without the parts that are empty.
func (p Problem) String() string {
	switch {
	case p.Path != "" && p.Origin != "":
		return fmt.Sprintf("%s (%s): %s", p.Path, p.Origin, p.Message)
	case p.Path != "" || p.Origin != "":
		return p.Path + p.Origin + ": " + p.Message
	}
	return p.Message
}

// Error lists the problems, one on each line.
func (e *Error) Error() string {
	var text strings.Builder
	plural := "s"
	if len(e.Problems) == 1 {
		plural = ""
	}
	fmt.Fprintf(&text, "invalid configuration: %d problem%s:", len(e.Problems), plural)
	for _, problem := range e.Problems {
		text.WriteString("\n  " + strings.ReplaceAll(problem.String(), "\n", "\n    "))
	}
	return text.String()
}

// Join merges errors into one *Error, or returns nil if all of them are nil. An *Error adds its
// problems, even if another error wraps it. The result of errors.Join adds its parts. Any other
// error becomes a Problem with only a message. Equal problems are listed once.
func Join(errs ...error) error {
	var problems []Problem
	for _, err := range errs {
		for _, leaf := range splitJoined(err) {
			var known *Error
			if errors.As(leaf, &known) && known != nil {
				problems = append(problems, known.Problems...)
			} else {
				problems = append(problems, Problem{Message: leaf.Error()})
			}
		}
	}
	return newError(problems)
}

func newError(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	problems = slices.Clone(problems)
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Message, b.Message))
	})
	return &Error{Problems: slices.Compact(problems)}
}

// splitJoined splits the result of errors.Join into its parts. An error with text of its own, such
// as fmt.Errorf with two %w, stays whole: splitting it would lose words.
func splitJoined(err error) []error {
	var known *Error
	if err == nil || errors.As(err, &known) && known == nil {
		return nil
	}
	var tree interface{ Unwrap() []error }
	if !errors.As(err, &tree) {
		return []error{err}
	}
	var parts []error
	var texts []string
	for _, child := range tree.Unwrap() {
		if child != nil {
			parts, texts = append(parts, splitJoined(child)...), append(texts, child.Error())
		}
	}
	if err.Error() != strings.Join(texts, "\n") {
		return []error{err}
	}
	return parts
}
