package image_test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/image"
)

// writeFile returns the path of a file with the given content.
func writeFile(t *testing.T, base, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), base)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o700))
	return path
}

func TestArchiveHoldsTheImage(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "images", "app.tar")
	config := image.Config{
		Name: "app:dev",
		Files: []image.File{
			{Source: writeFile(t, "app", "#!app"), Target: "/usr/local/bin/app", Executable: true},
			{Source: writeFile(t, "app.yaml", "a: 1"), Target: "/etc/app/app.yaml"},
		},
		Entrypoint: []string{"/usr/local/bin/app", "--config", "/etc/app/app.yaml"},
		User:       "65534",
	}
	require.NoError(t, image.WriteArchive(archive, config))

	tag, err := name.NewTag("app:dev")
	require.NoError(t, err)
	img, err := tarball.ImageFromPath(archive, &tag)
	require.NoError(t, err)
	require.NoError(t, validate.Image(img))
	file, err := img.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, "linux", file.OS)
	require.Equal(t, runtime.GOARCH, file.Architecture)
	require.Equal(t, config.Entrypoint, file.Config.Entrypoint)
	require.Equal(t, "65534", file.Config.User)

	layers, err := img.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 1)
	content, err := layers[0].Uncompressed()
	require.NoError(t, err)
	defer content.Close()
	modes, order := map[string]int64{}, []string{}
	for reader := tar.NewReader(content); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		require.NotContains(t, modes, header.Name, "twice")
		modes[header.Name] = header.Mode
		order = append(order, header.Name)
	}
	require.EqualValues(t, 0o755, modes["usr/local/bin/app"])
	require.EqualValues(t, 0o644, modes["etc/app/app.yaml"])
	require.EqualValues(t, 0o1777, modes["tmp/"])
	require.Contains(t, modes, "etc/passwd")
	require.Less(t, indexOf(order, "usr/local/bin/"), indexOf(order, "usr/local/bin/app"), "folders come before what is in them")
}

func indexOf(list []string, wanted string) int {
	for i, element := range list {
		if element == wanted {
			return i
		}
	}
	return -1
}

func TestSameFilesGiveTheSameImage(t *testing.T) {
	digest := func() string {
		img, err := image.Build(image.Config{Name: "app:dev", Files: []image.File{
			{Source: writeFile(t, "b", "b"), Target: "/b"}, {Source: writeFile(t, "a", "a"), Target: "/a"},
		}})
		require.NoError(t, err)
		hash, err := img.Digest()
		require.NoError(t, err)
		return hash.String()
	}
	require.Equal(t, digest(), digest())
}

func TestBadImages(t *testing.T) {
	source := writeFile(t, "a", "a")
	tests := map[string]struct {
		config image.Config
		want   string
	}{
		"bad name":       {image.Config{Name: "Not A Name"}, "name of image"},
		"missing source": {image.Config{Name: "a:b", Files: []image.File{{Source: source + "x", Target: "/a"}}}, "no such file"},
		"relative path":  {image.Config{Name: "a:b", Files: []image.File{{Source: source, Target: "a"}}}, "must be absolute"},
		"escaping path":  {image.Config{Name: "a:b", Files: []image.File{{Source: source, Target: "/../a"}}}, "clean"},
		"same path twice": {image.Config{Name: "a:b", Files: []image.File{
			{Source: source, Target: "/a"}, {Source: source, Target: "/a"},
		}}, "unique"},
		"path of a folder": {image.Config{Name: "a:b", Files: []image.File{{Source: source, Target: "/tmp"}}}, "unique"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			err := image.WriteArchive(filepath.Join(dir, "x.tar"), test.config)
			require.ErrorContains(t, err, test.want)
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, entries, "nothing half-written is left")
		})
	}
}

func TestBinaries(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	require.NoError(t, os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600))
	binary := filepath.Join(dir, "tiny")
	cmd := exec.Command("go", "build", "-o", binary, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))

	files, entrypoint, err := image.Binaries([]string{binary})
	require.NoError(t, err)
	require.Equal(t, []image.File{{Source: binary, Target: "/usr/local/bin/tiny", Executable: true}}, files)
	require.Equal(t, []string{"/usr/local/bin/tiny"}, entrypoint)

	_, _, err = image.Binaries(nil)
	require.ErrorContains(t, err, "needs a binary")
	_, _, err = image.Binaries([]string{source})
	require.ErrorContains(t, err, "no Linux binary")
}

func TestDynamicBinaryIsRefused(t *testing.T) {
	const dynamic = "/bin/ls"
	if runtime.GOOS != "linux" {
		t.Skip("needs a Linux system's own programs")
	}
	_, _, err := image.Binaries([]string{dynamic})
	require.ErrorContains(t, err, "linked dynamically")
}

func TestArchiveNames(t *testing.T) {
	seen := map[string]string{}
	for _, reference := range []string{"a:b", "a/b:c", "a/b/c:d", "example.com:5000/a:b", "example.com/5000/a:b"} {
		base, err := image.ArchiveName(reference)
		require.NoError(t, err)
		require.Equal(t, base, filepath.Base(base))
		require.Empty(t, seen[base], reference)
		seen[base] = reference
	}
	short, err := image.ArchiveName("a:b")
	require.NoError(t, err)
	long, err := image.ArchiveName("docker.io/library/a:b")
	require.NoError(t, err)
	require.Equal(t, long, short, "two names of one image")
}
