package filewatch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// In Kubernetes, a file depends on three names: its own, ..data, and the file in the folder of the
// version.
func TestTrace(t *testing.T) {
	t.Parallel()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(path string) string { return filepath.Join(folder, filepath.FromSlash(path)) }
	for _, path := range []string{"etc/..2024_1", "plain"} {
		if err := os.MkdirAll(at(path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"etc/..2024_1/a.yaml", "plain/a.yaml"} {
		if err := os.WriteFile(at(path), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"etc/..data": "..2024_1", "etc/a.yaml": "..data/a.yaml", "away": at("plain"), "etc/up.yaml": "../away/a.yaml",
		"loop": "loop", "dangling": "nowhere/a.yaml",
	} {
		if err := os.Symlink(target, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string][]string{
		"plain/a.yaml":  {"plain/a.yaml"},
		"etc/a.yaml":    {"etc/a.yaml", "etc/..data", "etc/..2024_1/a.yaml"},
		"away/a.yaml":   {"away", "plain/a.yaml"},
		"etc/up.yaml":   {"etc/up.yaml", "away", "plain/a.yaml"},
		"plain/b.yaml":  {"plain/b.yaml"},
		"new/sub/a.yml": {"new"},
		"dangling":      {"dangling", "nowhere"},
	} {
		got := trace(at(path))
		for i := range want {
			want[i] = at(want[i])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s depends on %q, want %q", path, got, want)
		}
	}
	if got := trace(at("loop")); len(got) != maxLinks+1 {
		t.Errorf("a circle of links has %d", len(got))
	}
}
