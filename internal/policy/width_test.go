package policy_test

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The greatest widths, in columns.
const (
	commentWidth = 100
	proseWidth   = 120
	tabWidth     = 4
)

// width is how many columns a line takes, if a tab always takes tabWidth.
func width(line string) int {
	return utf8.RuneCountInString(line) + (tabWidth-1)*strings.Count(line, "\t")
}

// directive is a comment for a tool. It has to stay on one line.
var directive = regexp.MustCompile(`^//([a-z]+:\S|nolint\b| \+build )`)

// unbreakable is a line of prose that is one word, such as a URL. A list marker, or the name of a
// reference, may stand in front of it.
var unbreakable = regexp.MustCompile(`^\s*(//)?\s*([-*]\s+|\d+\.\s+|\[[^\]]+\]:\s+)?\S+$`)

// verbatim is a comment that has to be as it is: code, and what an example prints.
var verbatim = regexp.MustCompile(`^\s*//(\t| (Unordered output|Output):)`)

// checkCommentWidth looks at comments that have their lines to themselves.
func checkCommentWidth(s *source) (findings []string) {
	if s.syntax == nil {
		return nil
	}
	lines := strings.Split(s.text, "\n")
	for _, group := range s.syntax.Comments {
		for _, comment := range group.List {
			start := s.fset.Position(comment.Pos())
			if strings.TrimSpace(lines[start.Line-1][:start.Column-1]) != "" || directive.MatchString(comment.Text) {
				continue
			}
			for i := range strings.Count(comment.Text, "\n") + 1 {
				line := strings.TrimRight(lines[start.Line-1+i], "\r")
				if columns := width(line); columns > commentWidth && !unbreakable.MatchString(line) && !verbatim.MatchString(line) {
					findings = append(findings,
						fmt.Sprintf("%s:%d: the comment has %d columns, want at most %d", s.path, start.Line+i, columns, commentWidth))
				}
			}
		}
	}
	return findings
}

// checkProseWidth looks at Markdown. Tables and fenced code may be wider.
func checkProseWidth(s *source) (findings []string) {
	if s.syntax != nil {
		return nil
	}
	fence, number := "", 0
	for line := range strings.Lines(s.text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimSpace(line)
		if marker := fenceMarker(trimmed); marker != "" {
			switch {
			case fence == "":
				fence = marker
			case strings.HasPrefix(marker, fence) && marker == trimmed:
				fence = ""
			}
			continue
		}
		columns := width(line)
		if fence != "" || strings.HasPrefix(trimmed, "|") || columns <= proseWidth || unbreakable.MatchString(line) {
			continue
		}
		findings = append(findings, fmt.Sprintf("%s:%d: %d columns, want at most %d", s.path, number, columns, proseWidth))
	}
	return findings
}

// fenceMarker returns the run of three or more backticks or tildes that a line begins with, or "".
func fenceMarker(line string) string {
	for _, char := range []string{"`", "~"} {
		if marker := line[:len(line)-len(strings.TrimLeft(line, char))]; len(marker) >= 3 {
			return marker
		}
	}
	return ""
}
