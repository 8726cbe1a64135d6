package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	kjson "github.com/knadh/koanf/parsers/json"
	"github.com/knadh/koanf/parsers/toml/v2"
	"go.yaml.in/yaml/v3"
)

// formats has the parser of each file extension.
var formats = map[string]func([]byte) (any, error){
	".yaml": parseYAML,
	".yml":  parseYAML,
	".toml": func(data []byte) (any, error) { return toml.Parser().Unmarshal(data) },
	".json": func(data []byte) (any, error) { return kjson.Parser().Unmarshal(data) },
}

// parseYAML does what koanf's parser does not: it refuses a second document, which would be ignored,
// and leaves it to the caller to say that the first is not a section.
func parseYAML(data []byte) (any, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document any
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		return nil, errors.New("has more than one document: remove what follows the line ---")
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return document, nil
}

// echoes are the places where the parsers quote what stands in the file, which may be a password
// that somebody forgot to put in quotes, and where they speak of Go.
var echoes = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	{regexp.MustCompile(`^(yaml|toml|json): `), ""},
	{regexp.MustCompile("`[^`]*`"), "…"},
	{regexp.MustCompile(`anchor '[^']*'`), "anchor"},
	{regexp.MustCompile(`(?s)invalid map key: .*`), "invalid key: put values that begin with { in quotes"},
	{regexp.MustCompile(`strconv\.\w+: parsing "[^"]*": `), ""},
	{regexp.MustCompile(`mapping key "(.*)" already defined`), `key "$1" is already defined`},
}

// syntaxProblems returns the problems of a file that cannot be parsed, with the lines if they are known.
func syntaxProblems(from origin, data []byte, err error) []Problem {
	texts := []string{err.Error()}
	var inYAML *yaml.TypeError
	var inTOML interface{ Position() (row, column int) }
	var inJSON *json.SyntaxError
	var notObject *json.UnmarshalTypeError
	switch {
	case errors.As(err, &inYAML):
		texts = inYAML.Errors
	case errors.As(err, &inTOML):
		row, _ := inTOML.Position()
		texts[0] = line(row) + strings.TrimPrefix(texts[0], "toml: ")
	case errors.As(err, &inJSON):
		// The offset is behind the byte that is wrong.
		before := data[:max(0, min(int(inJSON.Offset)-1, len(data)))]
		texts[0] = line(1+bytes.Count(before, []byte("\n"))) + texts[0]
	case errors.As(err, &notObject) && strings.HasPrefix(notObject.Value, "number "):
		texts[0] = "has a number that is too large"
	case errors.As(err, &notObject):
		texts[0] = "must be an object, { … }"
	}
	problems := make([]Problem, len(texts))
	for i, text := range texts {
		for _, echo := range echoes {
			text = echo.pattern.ReplaceAllString(text, echo.replacement)
		}
		problems[i] = from.problem("", "%s", text)
	}
	return problems
}

func line(number int) string { return "line " + strconv.Itoa(number) + ": " }
