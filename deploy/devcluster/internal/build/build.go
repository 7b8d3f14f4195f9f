// Package build compiles the binaries of a cluster from the sources embedded in
// the devcluster command and keeps them in a cache outside any repository.
//
// The cache holds one folder per Kubernetes version, platform and hash of the
// sources:
//
//	$YAGURA_CACHE/devcluster/v1.37.2-linux-amd64-0123456789ab/bin/
//	    kubernetes            the multi-call binary
//	    kube-apiserver, …     links to it, one for each component
//	    pause                 the program of the sandbox image (Linux only)
//
// YAGURA_CACHE defaults to the folder yagura in the user's cache folder. A
// folder appears complete or not at all.
//
// It imports filelock; the command imports it.
package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/filelock"
)

// components are the names by which the multi-call binary is linked.
var components = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok",
}

// nodeComponents exist on Linux only.
var nodeComponents = []string{"kubelet", "kube-proxy"}

// Builder builds one set of sources for the platform it runs on.
type Builder struct {
	sources fs.FS
	version string
	dir     string
}

// Options say how to build.
type Options struct {
	// Nice lowers the priority of the compiler, 0 (not at all) to 19.
	Nice int
	// Force builds although the cache has the binaries.
	Force bool
	// Progress is told what goes on, in lines.
	Progress io.Writer
}

// New returns the builder of the given sources: a module's go.mod and go.sum
// and its packages kubernetes and pause. Binaries go below cache, by default
// below the user's cache folder.
func New(sources fs.FS, cache string) (*Builder, error) {
	version, err := kubernetesVersion(sources)
	if err != nil {
		return nil, err
	}
	hash, err := hashOf(sources)
	if err != nil {
		return nil, err
	}
	if cache == "" {
		if cache, err = DefaultCache(); err != nil {
			return nil, err
		}
	}
	name := fmt.Sprintf("%s-%s-%s-%s", version, runtime.GOOS, runtime.GOARCH, hash[:12])
	return &Builder{sources: sources, version: version, dir: filepath.Join(cache, "devcluster", name)}, nil
}

// DefaultCache returns $YAGURA_CACHE or the folder yagura in the user's cache
// folder.
func DefaultCache() (string, error) {
	if dir := os.Getenv("YAGURA_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w (set YAGURA_CACHE)", err)
	}
	return filepath.Join(dir, "yagura"), nil
}

// Version returns the Kubernetes release that the sources name, as "v1.37.2".
func (b *Builder) Version() string { return b.version }

// Bin returns the folder that holds the binaries once built.
func (b *Builder) Bin() string { return filepath.Join(b.dir, "bin") }

// Ready says whether the binaries are in the cache.
func (b *Builder) Ready() bool {
	_, err := os.Stat(filepath.Join(b.Bin(), "kubernetes"))
	return err == nil
}

// Build compiles the binaries unless the cache has them. Builds of the same
// folder by several processes wait for each other.
func (b *Builder) Build(ctx context.Context, options Options) error {
	if options.Progress == nil {
		options.Progress = io.Discard
	}
	if b.Ready() && !options.Force {
		return nil
	}
	unlock, err := filelock.Acquire(ctx, b.dir+".lock", func() {
		fmt.Fprintln(options.Progress, "Waiting for another build of the same binaries.")
	})
	if err != nil {
		return fmt.Errorf("build Kubernetes: %w", err)
	}
	defer unlock()
	if b.Ready() && !options.Force {
		return nil // Another process has just built it.
	}
	if err := b.build(ctx, options); err != nil {
		return fmt.Errorf("build Kubernetes %s: %w", b.version, err)
	}
	return nil
}

// Prune deletes the binaries of all other versions and sources, and returns the
// folders that it deleted. A cluster that was brought up with them has to be
// brought up again.
func (b *Builder) Prune() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(b.dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("prune binaries: %w", err)
	}
	var deleted []string
	for _, entry := range entries {
		path := filepath.Join(filepath.Dir(b.dir), entry.Name())
		// Folders that begin with a dot belong to builds that may be running.
		if !entry.IsDir() || path == b.dir || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return deleted, fmt.Errorf("prune binaries: %w", err)
		}
		deleted = append(deleted, path)
	}
	return deleted, nil
}

func (b *Builder) build(ctx context.Context, options Options) error {
	started := time.Now()
	work, err := os.MkdirTemp(filepath.Dir(b.dir), ".build-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	source, bin := filepath.Join(work, "source"), filepath.Join(work, "bin")
	if err := os.CopyFS(source, b.sources); err != nil {
		return fmt.Errorf("write sources: %w", err)
	}
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}

	compiler := goTool{dir: source, nice: options.Nice}
	fmt.Fprintf(options.Progress, "Building Kubernetes %s for %s/%s; from nothing this takes about ten minutes on two cores.\n",
		b.version, runtime.GOOS, runtime.GOARCH)
	total, err := compiler.countPackages(ctx, "./kubernetes")
	if err != nil {
		return err
	}
	progress := newProgress(options.Progress, total)
	if err := compiler.build(ctx, progress, filepath.Join(bin, "kubernetes"), "./kubernetes", b.linkFlags()); err != nil {
		return err
	}
	links := components
	if runtime.GOOS == "linux" {
		links = append(links[:len(links):len(links)], nodeComponents...)
		if err := compiler.build(ctx, progress, filepath.Join(bin, "pause"), "./pause", "-s -w"); err != nil {
			return err
		}
	}
	for _, name := range links {
		if err := os.Symlink("kubernetes", filepath.Join(bin, name)); err != nil {
			return err
		}
	}

	if err := os.RemoveAll(b.dir); err != nil {
		return err
	}
	if err := os.Mkdir(b.dir, 0o755); err != nil {
		return err
	}
	if err := os.Rename(bin, b.Bin()); err != nil {
		return err
	}
	fmt.Fprintf(options.Progress, "Built in %s: %s\n", time.Since(started).Round(time.Second), b.Bin())
	return nil
}

// linkFlags put the version into the binaries, where the build scripts of a
// release would.
func (b *Builder) linkFlags() string {
	const in = "k8s.io/component-base/version."
	parts := strings.SplitN(strings.TrimPrefix(b.version, "v"), ".", 3)
	flags := []string{"-s", "-w", "-X", in + "gitVersion=" + b.version, "-X", in + "gitTreeState=clean"}
	if len(parts) == 3 {
		flags = append(flags, "-X", in+"gitMajor="+parts[0], "-X", in+"gitMinor="+parts[1])
	}
	return strings.Join(flags, " ")
}

var kubernetesRequirement = regexp.MustCompile(`(?m)^\s*(?:require\s+)?k8s\.io/kubernetes\s+(v\S+)`)

// kubernetesVersion finds the version in go.mod, the only place that names it.
func kubernetesVersion(sources fs.FS) (string, error) {
	data, err := fs.ReadFile(sources, "go.mod")
	if err != nil {
		return "", fmt.Errorf("read embedded sources: %w", err)
	}
	match := kubernetesRequirement.FindSubmatch(data)
	if match == nil {
		return "", errors.New("read embedded sources: go.mod does not require k8s.io/kubernetes")
	}
	return string(match[1]), nil
}

// hashOf returns a hash of all names and contents, in lower-case hex.
func hashOf(sources fs.FS) (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(sources, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(sources, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%s %d\n", path, len(data))
		hash.Write(data)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("hash embedded sources: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// goTool runs the go command on one module.
type goTool struct {
	dir  string
	nice int
}

func (g goTool) command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("the Go toolchain is needed: %w", err)
	}
	argv := append([]string{path}, args...)
	if g.nice > 0 {
		nice, err := exec.LookPath("nice")
		if err != nil {
			return nil, fmt.Errorf("lower the priority: %w", err)
		}
		argv = append([]string{nice, "-n", strconv.Itoa(g.nice)}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = g.dir
	// The same settings for everybody, whatever the user's are: otherwise each
	// combination compiles everything again into Go's build cache. GOFLAGS must
	// not be empty, or the user's configuration file would supply it.
	cmd.Env = append(os.Environ(),
		"CGO_ENABLED=0", "GOFLAGS=-trimpath", "GOWORK=off", "GO111MODULE=on",
		"GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	// Ctrl-C ends the compiler gently; it cleans up after itself.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd, nil
}

// countPackages returns how many packages a program consists of.
func (g goTool) countPackages(ctx context.Context, target string) (int, error) {
	cmd, err := g.command(ctx, "list", "-deps", "-f", "x", target)
	if err != nil {
		return 0, err
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("list packages of %s: %w\n%s", target, err, strings.TrimSpace(stderr.String()))
	}
	return strings.Count(string(out), "x"), nil
}

func (g goTool) build(ctx context.Context, progress *progress, output, target, linkFlags string) error {
	cmd, err := g.command(ctx, "build", "-v", "-ldflags", linkFlags, "-o", output, target)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = progress, progress
	stop := progress.start()
	err = cmd.Run()
	stop()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("compile %s: %w\n%s", target, err, progress.complaints())
	}
	return nil
}
