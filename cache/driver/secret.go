package driver

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a string that never prints itself: a password, a session token. Every verb of fmt,
// log/slog, JSON and text marshalling show "[redacted]". It holds a pointer, so the same is true
// for a Secret in an unexported field of another struct. The zero value is the empty secret.
// Secrets are immutable and safe for concurrent use. Compare with Equal, not with ==.
type Secret struct{ text *string }

// NewSecret returns the Secret that hides text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// SecretAt returns the Secret that hides *text, without copying it. *text must not change
// afterwards.
func SecretAt(text *string) Secret { return Secret{text} }

// Reveal returns the hidden string.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Equal reports whether both hide the same string.
func (s Secret) Equal(other Secret) bool { return s.Reveal() == other.Reveal() }

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// Format implements fmt.Formatter: no verb and no flag prints the secret, %#v included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler, and so JSON's: it writes the redacted form.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: text becomes the secret.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
