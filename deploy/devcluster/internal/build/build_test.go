package build_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/build"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sources stand for Kubernetes: a module that compiles in a second, with
// nothing to fetch.
func sources() fstest.MapFS {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	return fstest.MapFS{
		"go.mod": file("module example.com/tiny\n\ngo 1.26\n\nrequire k8s.io/kubernetes v1.2.3\n\n" +
			"replace k8s.io/kubernetes => ./replaced\n"),
		"replaced/go.mod":    file("module k8s.io/kubernetes\n\ngo 1.26\n"),
		"kubernetes/main.go": file("package main\n\nimport \"os\"\n\nfunc main() { println(os.Args[0]) }\n"),
		"pause/main.go":      file("package main\n\nfunc main() {}\n"),
	}
}

func TestBuildFillsTheCache(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Fatal("the Go toolchain that runs this test is not in PATH")
	}
	cache := t.TempDir()
	builder, err := build.New(sources(), cache)
	require.NoError(t, err)
	require.Equal(t, "v1.2.3", builder.Version())
	require.Contains(t, builder.Bin(), filepath.Join(cache, "devcluster", "v1.2.3-"+runtime.GOOS+"-"+runtime.GOARCH+"-"))
	require.False(t, builder.Ready())

	var progress bytes.Buffer
	require.NoError(t, builder.Build(context.Background(), build.Options{Nice: 1, Progress: &progress}))
	require.True(t, builder.Ready())
	require.Contains(t, progress.String(), "v1.2.3")

	for _, name := range []string{"kubernetes", "etcd", "kube-apiserver", "kubectl", "kwok"} {
		cmd := exec.Command(filepath.Join(builder.Bin(), name))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err)
		require.Equal(t, name, filepath.Base(strings.TrimSpace(string(out))))
	}
	leftovers, err := filepath.Glob(filepath.Join(cache, "devcluster", ".build-*"))
	require.NoError(t, err)
	require.Empty(t, leftovers)

	progress.Reset()
	require.NoError(t, builder.Build(context.Background(), build.Options{Progress: &progress}))
	require.Empty(t, progress.String(), "the second build has nothing to do")
}

func TestSourcesDecideTheFolder(t *testing.T) {
	cache := t.TempDir()
	first, err := build.New(sources(), cache)
	require.NoError(t, err)
	changed := sources()
	changed["pause/main.go"] = &fstest.MapFile{Data: []byte("package main\n\nfunc main() { println() }\n")}
	second, err := build.New(changed, cache)
	require.NoError(t, err)
	require.NotEqual(t, first.Bin(), second.Bin())
}

func TestFailedBuildLeavesNothingAndTellsWhy(t *testing.T) {
	cache := t.TempDir()
	broken := sources()
	broken["kubernetes/main.go"] = &fstest.MapFile{Data: []byte("package main\n\nfunc main() { missing() }\n")}
	builder, err := build.New(broken, cache)
	require.NoError(t, err)
	err = builder.Build(context.Background(), build.Options{})
	require.ErrorContains(t, err, "undefined: missing")
	require.False(t, builder.Ready())
	entries, err := os.ReadDir(filepath.Join(cache, "devcluster"))
	require.NoError(t, err)
	for _, entry := range entries {
		require.True(t, strings.HasSuffix(entry.Name(), ".lock"), entry.Name())
	}
}

func TestPruneKeepsThisVersion(t *testing.T) {
	cache := t.TempDir()
	builder, err := build.New(sources(), cache)
	require.NoError(t, err)
	deleted, err := builder.Prune()
	require.NoError(t, err)
	require.Empty(t, deleted)

	other := filepath.Join(cache, "devcluster", "v1.0.0-linux-amd64-0123456789ab")
	building := filepath.Join(cache, "devcluster", ".build-1")
	for _, dir := range []string{builder.Bin(), other, building} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	deleted, err = builder.Prune()
	require.NoError(t, err)
	require.Equal(t, []string{other}, deleted)
	require.NoDirExists(t, other)
	require.DirExists(t, builder.Bin())
	require.DirExists(t, building)
}

func TestGoModMustNameKubernetes(t *testing.T) {
	_, err := build.New(fstest.MapFS{"go.mod": {Data: []byte("module x\n")}}, t.TempDir())
	require.ErrorContains(t, err, "k8s.io/kubernetes")
	_, err = build.New(fstest.MapFS{}, t.TempDir())
	require.ErrorContains(t, err, "go.mod")
}

func TestDefaultCacheFollowsTheEnvironment(t *testing.T) {
	t.Setenv("YAGURA_CACHE", "/somewhere")
	dir, err := build.DefaultCache()
	require.NoError(t, err)
	require.Equal(t, "/somewhere", dir)
	t.Setenv("YAGURA_CACHE", "")
	if runtime.GOOS == "linux" {
		t.Setenv("XDG_CACHE_HOME", "/xdg")
		dir, err = build.DefaultCache()
		require.NoError(t, err)
		require.Equal(t, "/xdg/yagura", dir)
	}
}
