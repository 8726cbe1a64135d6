package fxtest

import (
	"fmt"

	"go.uber.org/fx"
	"go.yaml.in/yaml/v3"

	"github.com/fxcache/fxcache"
)

// Config sets the configuration of the application under test, as inline YAML. It wins over the
// files that the application reads. Give it once.
func Config(text string) fx.Option {
	var values map[string]any
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		return fx.Error(fmt.Errorf("fxtest.Config: %w", err))
	}
	return fxcache.Override(values)
}
