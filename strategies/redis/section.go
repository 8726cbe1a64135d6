package redis

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/fxcache/fxcache/cache/driver"
)

// section is Options as the configuration has them. Here a key that is zero or empty differs from
// one that is absent: nobody who writes lanes: 0, or whose variable is empty, means the default.
type section struct {
	Options `koanf:",squash"`

	lanesAbsent, urlEmpty bool
	// again says that the section was decoded before. Files of TLS that have become unusable must
	// not keep a new password from being used.
	again bool
}

// What stands in place of keys that the configuration may lack. Their defaults depend on other
// keys.
const (
	absentNumber = math.MinInt
	absentText   = "\x00"
)

var absentSecret = driver.NewSecret(absentText)

func newSection() *section {
	s := &section{Options: Options{
		URL: absentSecret, SentinelMaster: absentText, Connections: absentNumber, Lanes: absentNumber,
	}.WithDefaults()}
	s.Addresses = nil
	return s
}

// Complete fills in the defaults of the keys that are absent.
func (s *section) Complete() {
	s.urlEmpty = s.URL.IsZero()
	if s.URL.Equal(absentSecret) {
		s.URL = driver.Secret{}
	}
	if s.Addresses == nil && !s.urlEmpty {
		s.Addresses = s.WithDefaults().Addresses
	}
	if s.SentinelMaster == absentText {
		s.SentinelMaster = ""
		s.SentinelMaster = s.WithDefaults().SentinelMaster
	}
	if s.Connections == absentNumber {
		s.Connections = 0
		s.Connections = s.connections()
	}
	if s.Lanes == absentNumber {
		s.Lanes, s.lanesAbsent = 0, true
		s.Lanes = s.lanes()
	}
}

// Validate returns a driver.OptionError for every unusable value, joined. It also looks at the
// files of TLS.
func (s *section) Validate() error {
	errs := []error{s.Options.Validate()}
	report := func(name, reason string) { errs = append(errs, &driver.OptionError{Name: name, Reason: reason}) }
	switch {
	case s.urlEmpty && len(s.Addresses) == 0:
		report("url", "must not be empty: write redis://host:port, or remove the key")
	case len(s.Addresses) == 0 && s.URL.IsZero():
		report("addresses", "must not be empty: write host:port, or remove the key")
	}
	if s.Connections == 0 {
		report("connections", "must not be 0: write a power of two up to 256, or remove the key")
	}
	if s.Lanes == 0 {
		report("lanes", "must not be 0: write a number from 1 to 16384, or remove the key")
	}
	if !s.again {
		errs = append(errs, s.TLS.missing("tls"), s.SentinelTLS.missing("sentinel_tls"))
	}
	return errors.Join(errs...)
}

// missing returns an error for each file that cannot be used, joined. Init reads them again, but an
// operator wants to know of mistakes in the configuration before that. name is the key of t.
func (t *TLS) missing(name string) error {
	if !t.on() {
		return nil
	}
	var errs []error
	check := func(path string, err error) bool {
		var option *driver.OptionError
		folder, unknown := os.Getwd()
		if _, gone := os.Stat(path); errors.As(err, &option) && errors.Is(gone, fs.ErrNotExist) && !filepath.IsAbs(path) && unknown == nil {
			err = &driver.OptionError{Name: option.Name, Reason: option.Reason + " in the working directory " + folder}
		}
		errs = append(errs, err)
		return err == nil
	}
	if isPath(t.CA) {
		_, err := (&TLS{CA: t.CA}).config(name)
		check(t.CA, err)
	}
	if t.Cert == "" || t.Key == "" || !isPath(t.Cert) || !isPath(t.Key) {
		return errors.Join(errs...)
	}
	_, certErr := readFile(name+".cert", t.Cert)
	_, keyErr := readFile(name+".key", t.Key)
	if readable := check(t.Cert, certErr); check(t.Key, keyErr) && readable {
		_, err := (&TLS{Cert: t.Cert, Key: t.Key}).config(name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// options returns what New takes. There, no lanes means one, or 64 for a lent client of a Cluster.
func (s *section) options() Options {
	if s.lanesAbsent {
		s.Lanes = 0
	}
	return s.Options
}
