package config

import (
	"io"
	"os"
	"reflect"
	"strings"
)

// maxSecretBytes bounds what is read of a secret's file, which may be /dev/zero by mistake. The
// largest secrets, chains of certificates, have some 10 KiB.
const maxSecretBytes = 1 << 20

// secretFile decodes the secret called name from the file whose path is n.
func (d *decoder) secretFile(n *node, path, name string, keys section, dst reflect.Value) {
	file, isString := n.value.(string)
	switch _, both := keys[name]; {
	case both:
		d.wrong(n, path, "is given in addition to %s (%s): remove one of them", name, keys[name].origin.name)
		return
	case n.value == nil:
		d.wrong(n, path, "has no value: write one, or remove the key")
		return
	case !isString:
		d.wrong(n, path, "must be the path of a file, not %s", noun(n))
		return
	}
	text, err := readSecret(file)
	switch {
	case err != nil:
		d.wrong(n, path, "cannot read the file %q: %s", file, reason(err))
	case len(text) > maxSecretBytes:
		d.wrong(n, path, "cannot use the file %q: it is larger than %d bytes", file, maxSecretBytes)
	case text == "":
		d.wrong(n, path, "cannot use the file %q: it is empty", file)
	default:
		d.value(&node{n.origin, text}, path, dst)
	}
}

// readSecret returns the content of a file without the newline that editors and echo put at its end.
func readSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSecretBytes+2))
	text, cut := strings.CutSuffix(string(content), "\n")
	if cut {
		text = strings.TrimSuffix(text, "\r")
	}
	return text, err
}
