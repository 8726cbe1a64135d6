package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	kjson "github.com/knadh/koanf/parsers/json"
	"github.com/knadh/koanf/parsers/toml/v2"
	kyaml "github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v3"
)

// parsers maps each file extension to its parser.
var parsers = map[string]koanf.Parser{".yaml": strictYAML{kyaml.Parser()}, ".yml": strictYAML{kyaml.Parser()}, ".toml": toml.Parser(), ".json": kjson.Parser()}

// strictYAML is koanf's parser, but stricter. It refuses a second document, which koanf ignores,
// and keys that are not text. koanf would turn the key 0123 into "83".
type strictYAML struct{ *kyaml.YAML }

func (p strictYAML) Unmarshal(data []byte) (map[string]any, error) {
	keys, err := p.YAML.Unmarshal(data)
	if err != nil {
		return nil, err
	}
	var document, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, errors.New("has more than one document: remove what follows the line ---")
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return keys, textKeys(&document)
}

func textKeys(node *yaml.Node) error {
	for i, child := range node.Content {
		if tag := child.ShortTag(); node.Kind == yaml.MappingNode && i%2 == 0 && tag != "!!str" && tag != "!!merge" {
			return fmt.Errorf("line %d: has a key that is not text: put it in quotes", child.Line)
		}
		if err := textKeys(child); err != nil {
			return err
		}
	}
	return nil
}

// sanitizers remove what the messages of the parsers should not contain: quoted parts of the file,
// which may be a password without quotes, and Go types.
var sanitizers = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	{regexp.MustCompile(`^(yaml|toml|json): `), ""},
	{regexp.MustCompile("`[^`]*`"), "…"},
	{regexp.MustCompile(`cannot unmarshal .* into map\[string\]interface \{\}`), "must be keys and values"},
	{regexp.MustCompile(`anchor '[^']*'`), "anchor"},
	{regexp.MustCompile(`(?s)invalid map key: .*`), "invalid key: put values that begin with { in quotes"},
	{regexp.MustCompile(`strconv\.\w+: parsing "[^"]*": `), ""},
	{regexp.MustCompile(`key ([\w.-]*).* is already defined`), `key $1 is already defined`},
	{regexp.MustCompile(`mapping key "([\w.-]*).*" already defined`), `key "$1" is already defined`},
}

// syntaxProblems returns the problems of a file that cannot be parsed, with their lines if known.
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
		texts[0] = fmt.Sprintf("line %d: %s", row, strings.TrimPrefix(texts[0], "toml: "))
	case errors.As(err, &inJSON):
		// Offset counts the bytes up to and including the wrong one.
		before := data[:max(0, min(int(inJSON.Offset)-1, len(data)))]
		texts[0] = fmt.Sprintf("line %d: %s", 1+bytes.Count(before, []byte("\n")), texts[0])
	case errors.As(err, &notObject) && strings.HasPrefix(notObject.Value, "number "):
		texts[0] = "has a number that is too large"
	case errors.As(err, &notObject):
		texts[0] = "must be an object, { … }"
	}
	problems := make([]Problem, len(texts))
	for i, text := range texts {
		for _, s := range sanitizers {
			text = s.pattern.ReplaceAllString(text, s.replacement)
		}
		problems[i] = from.problem("", "%s", text)
	}
	return problems
}
