// Package image packs static binaries as container images, without a daemon and
// without a registry: the result is an archive that a container runtime imports.
//
// An image has one layer with the given files and little else (folders that
// programs expect, an /etc/passwd with root and nobody). The same files give the
// same image, to the bit.
//
// It imports nothing of devcluster; node, cluster and the command import it.
package image

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// File is a file of an image.
type File struct {
	// Source is its path on this machine.
	Source string
	// Target is its absolute path in the image.
	Target string
	// Executable makes it a program.
	Executable bool
}

// Config describes an image.
type Config struct {
	// Name is its reference, such as "yagura-collector:dev".
	Name string
	// Files are put into it.
	Files []File
	// Entrypoint is the program it runs and its first arguments.
	Entrypoint []string
	// User is the user it runs as, "" for root.
	User string
}

// epoch is the time of everything in an image, so that it does not depend on
// when it was packed.
var epoch = time.Unix(0, 0).UTC()

// folders are in every image, with their modes.
var folders = []struct {
	path string
	mode int64
}{
	{"/dev", 0o755}, {"/etc", 0o755}, {"/proc", 0o555}, {"/sys", 0o555}, {"/tmp", 0o1777}, {"/var", 0o755},
}

const (
	passwd = "root:x:0:0:root:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"
	group  = "root:x:0:\nnogroup:x:65534:\n"
)

// BinaryDir is where binaries are put in an image.
const BinaryDir = "/usr/local/bin"

// Binaries returns the files and the entrypoint of an image of static binaries,
// of which it runs the first. It fails when one of them could not run in an
// image that holds nothing else.
func Binaries(paths []string) ([]File, []string, error) {
	if len(paths) == 0 {
		return nil, nil, errors.New("an image needs a binary")
	}
	files := make([]File, len(paths))
	for i, source := range paths {
		if err := checkStatic(source); err != nil {
			return nil, nil, err
		}
		files[i] = File{Source: source, Target: path.Join(BinaryDir, filepath.Base(source)), Executable: true}
	}
	return files, []string{files[0].Target}, nil
}

// checkStatic returns an error unless the file is a Linux program that needs no
// other file to start.
func checkStatic(source string) error {
	file, err := elf.Open(source)
	if err != nil {
		return fmt.Errorf("%s is no Linux binary: %w", source, err)
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is linked dynamically and would miss its libraries; build it with CGO_ENABLED=0", source)
		}
	}
	return nil
}

// Build returns the image.
func Build(c Config) (v1.Image, error) {
	content, err := layer(c.Files)
	if err != nil {
		return nil, fmt.Errorf("build image %s: %w", c.Name, err)
	}
	single, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
	if err != nil {
		return nil, fmt.Errorf("build image %s: %w", c.Name, err)
	}
	img, err := mutate.Append(empty.Image, mutate.Addendum{
		Layer:   single,
		History: v1.History{CreatedBy: "devcluster image", Created: v1.Time{Time: epoch}},
	})
	if err != nil {
		return nil, fmt.Errorf("build image %s: %w", c.Name, err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("build image %s: %w", c.Name, err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", runtime.GOARCH, v1.Time{Time: epoch}
	file.Config = v1.Config{
		Entrypoint: c.Entrypoint,
		User:       c.User,
		WorkingDir: "/",
		Env:        []string{"PATH=" + BinaryDir + ":/usr/bin:/bin"},
	}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return nil, fmt.Errorf("build image %s: %w", c.Name, err)
	}
	return img, nil
}

// WriteArchive builds the image and writes it to a file in the form of "docker
// save". The file appears complete or not at all.
func WriteArchive(file string, c Config) error {
	tag, err := name.NewTag(c.Name)
	if err != nil {
		return fmt.Errorf("name of image: %w", err)
	}
	img, err := Build(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write image %s: %w", c.Name, err)
	}
	// Not by a name that ends in .tar, which a node would import.
	if err := tarball.WriteToFile(file+".tmp", tag, img); err != nil {
		_ = os.Remove(file + ".tmp")
		return fmt.Errorf("write image %s: %w", c.Name, err)
	}
	if err := os.Rename(file+".tmp", file); err != nil {
		return fmt.Errorf("write image %s: %w", c.Name, err)
	}
	return nil
}

// ArchiveName returns the base name for an image's archive: different for
// different references, and for equal ones always the same.
func ArchiveName(reference string) (string, error) {
	tag, err := name.NewTag(reference)
	if err != nil {
		return "", fmt.Errorf("name of image: %w", err)
	}
	// References hold neither "+" nor "%".
	return strings.NewReplacer("/", "+", ":", "%").Replace(tag.Name()) + ".tar", nil
}

// layer returns the tar archive of an image's only layer.
func layer(files []File) ([]byte, error) {
	var buffer bytes.Buffer
	w := &layerWriter{tar: tar.NewWriter(&buffer), have: map[string]bool{"/": true}}
	for _, folder := range folders {
		w.folder(folder.path, folder.mode)
	}
	w.file("/etc/passwd", 0o644, []byte(passwd))
	w.file("/etc/group", 0o644, []byte(group))
	for _, file := range slices.SortedFunc(slices.Values(files), func(a, b File) int { return strings.Compare(a.Target, b.Target) }) {
		if !path.IsAbs(file.Target) || path.Clean(file.Target) != file.Target || w.have[file.Target] {
			return nil, fmt.Errorf("file %s: its path must be absolute, clean and unique", file.Target)
		}
		data, err := os.ReadFile(file.Source)
		if err != nil {
			return nil, err
		}
		mode := int64(0o644)
		if file.Executable {
			mode = 0o755
		}
		w.folder(path.Dir(file.Target), 0o755)
		w.file(file.Target, mode, data)
	}
	if w.err == nil {
		w.err = w.tar.Close()
	}
	return buffer.Bytes(), w.err
}

// layerWriter writes a layer up to the first failure.
type layerWriter struct {
	tar  *tar.Writer
	have map[string]bool
	err  error
}

// folder writes a folder after its parents, unless it is there.
func (w *layerWriter) folder(name string, mode int64) {
	if w.have[name] || w.err != nil {
		return
	}
	w.folder(path.Dir(name), 0o755)
	w.have[name] = true
	if w.err == nil {
		w.err = w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name[1:] + "/", Mode: mode, ModTime: epoch})
	}
}

func (w *layerWriter) file(name string, mode int64, data []byte) {
	if w.err != nil {
		return
	}
	w.have[name] = true
	w.err = w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name[1:], Mode: mode, Size: int64(len(data)), ModTime: epoch})
	if w.err == nil {
		_, w.err = w.tar.Write(data)
	}
}
