package config

import (
	"errors"
	"io"
	"os"
	"strings"
)

// maxSecretBytes bounds what is read of a secret's file, which may be /dev/zero by mistake. The
// largest secrets, chains of certificates, have some 10 KiB.
const maxSecretBytes = 1 << 20

// secretFile replaces the path in n by what the file holds. other is the secret called name, if that
// is given as well. Problems do not name the file: it may be the secret, under the wrong key.
func (d *decoder) secretFile(n, other *node, name string) error {
	path, isString := n.value.(string)
	switch {
	case other != nil:
		return d.wrong(n, "is given in addition to %s (%s): remove one of them", name, other.origin.name)
	case n.value == nil:
		return d.wrong(n, "has no value: write one, or remove the key")
	case !isString:
		return d.wrong(n, "must be the path of a file, not %s", noun(n.value))
	}
	text, err := readSecret(path)
	switch {
	case err != nil:
		return d.wrong(n, "cannot read the file (its name is not shown): %s", reason(err))
	case len(text) > maxSecretBytes:
		return d.wrong(n, "cannot use the file: it is larger than %d bytes", maxSecretBytes)
	case text == "":
		return d.wrong(n, "cannot use the file: it is empty")
	}
	n.value = text
	return nil
}

// readSecret returns the content of a file without the newline that editors and echo put at its end.
func readSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(io.LimitReader(file, maxSecretBytes+2))
	text, cut := strings.CutSuffix(string(content), "\n")
	if cut {
		text = strings.TrimSuffix(text, "\r")
	}
	return text, errors.Join(err, file.Close())
}
