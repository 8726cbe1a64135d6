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
var parsers = map[string]koanf.Parser{".yaml": strictYAML{kyaml.Parser()}, ".yml": strictYAML{kyaml.Parser()}, ".toml": toml.Parser(), ".json": strictJSON{kjson.Parser()}}

// byteOrderMark is what some editors of Windows put before a text.
const byteOrderMark = "\ufeff"

// utf8Text returns data without a byte order mark. It refuses UTF-16, which not every parser reads.
func utf8Text(data []byte) ([]byte, error) {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) || bytes.IndexByte(data, 0) >= 0 {
		return data, errors.New("is not text in UTF-8: save it in that encoding")
	}
	return bytes.TrimPrefix(data, []byte(byteOrderMark)), nil
}

// strictJSON is koanf's parser, but refuses a key that is there twice, of which encoding/json keeps
// the last one.
type strictJSON struct{ *kjson.JSON }

func (p strictJSON) Unmarshal(data []byte) (map[string]any, error) {
	keys, err := p.JSON.Unmarshal(data)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	return keys, uniqueKeys(decoder, func() int { return 1 + bytes.Count(data[:decoder.InputOffset()], []byte("\n")) })
}

// uniqueKeys reads one value of a document that is known to be valid.
func uniqueKeys(decoder *json.Decoder, line func() int) error {
	opening, err := decoder.Token()
	if opening != json.Delim('{') && opening != json.Delim('[') {
		return err
	}
	known := map[json.Token]bool{}
	for decoder.More() {
		if opening == json.Delim('{') {
			key, err := decoder.Token()
			if err != nil {
				return err
			}
			if known[key] {
				return fmt.Errorf("line %d: key %s is already defined", line(), shownKey(key.(string)))
			}
			known[key] = true
		}
		if err := uniqueKeys(decoder, line); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}

// strictYAML is koanf's parser, but stricter. It refuses a second document, which koanf ignores,
// and keys that are not text. koanf would turn the key 0123 into "83". It refuses the tags of other
// tools, such as !vault and !ENV, because the YAML library reads what follows as the text itself.
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
		if tag := child.ShortTag(); strings.HasPrefix(tag, "!") && !strings.HasPrefix(tag, "!!") && tag != "!" {
			return fmt.Errorf("line %d: has a tag, a word that begins with !, that no tool has processed: write the value itself", child.Line)
		}
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
	{regexp.MustCompile(`(?s)invalid map key: .*`), "invalid key: put values that begin with { in quotes, and fill in placeholders such as {{ … }} first"},
	{regexp.MustCompile(`strconv\.\w+: parsing "[^"]*": `), ""},
	{regexp.MustCompile(`key ([\w.-]*).* is already defined`), `key $1 is already defined`},
	{regexp.MustCompile(`mapping key "([\w.-]*).*" already defined`), `key "$1" is already defined`},
}

// indentedWithTab returns the first line that begins with a tab, if that may be why the YAML cannot
// be parsed, and 0 otherwise. The library calls it a character that cannot start a token, or speaks
// of something else altogether.
func indentedWithTab(data []byte, err error) int {
	if !strings.HasPrefix(err.Error(), "yaml: ") {
		return 0
	}
	for i, line := range bytes.Split(data, []byte("\n")) {
		if text := bytes.TrimLeft(line, " \t\r"); len(text) > 0 && text[0] != '#' && bytes.Contains(line[:len(line)-len(text)], []byte("\t")) {
			return i + 1
		}
	}
	return 0
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
	case indentedWithTab(data, err) > 0:
		texts[0] = fmt.Sprintf("line %d: is indented with a tab: use spaces", indentedWithTab(data, err))
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
