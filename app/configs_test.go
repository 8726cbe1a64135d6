package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/fxcache/fxcache"
	"github.com/fxcache/fxcache/config"
)

// The shop accepts every configuration that comes with it. The only problems allowed here are
// missing files: of a secret, or of TLS.
func TestConfigs(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("configs/*.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		err := fx.New(fxcache.Module, fxcache.ConfigFile(file), fx.NopLogger).Err()
		var problems *config.Error
		if err != nil && !errors.As(err, &problems) {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if problems == nil {
			continue
		}
		for _, problem := range problems.Problems {
			if !strings.HasSuffix(problem.Path, "_file") && !strings.HasPrefix(problem.Path, "cache.redis.tls.") {
				t.Errorf("%s: %v", file, problem)
			}
		}
	}
}
