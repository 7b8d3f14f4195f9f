package host

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

var (
	metricFSSize      = gauge("node_filesystem_size_bytes", "Size of the file system.")
	metricFSFree      = gauge("node_filesystem_free_bytes", "Free space of the file system.")
	metricFSAvailable = gauge("node_filesystem_avail_bytes", "Free space that ordinary users may use.")
	metricFSFiles     = gauge("node_filesystem_files", "Files that the file system can hold.")
	metricFSFilesFree = gauge("node_filesystem_files_free", "Files that can still be created.")
	metricFSReadOnly  = gauge("node_filesystem_readonly", "1 when the file system is mounted read-only, else 0.")
	metricFSError     = gauge("node_filesystem_device_error",
		"1 when the file system did not tell its size in time, else 0.")
)

// statTimeout is how long a file system may take to tell its size. A network
// file system whose server is gone takes for ever.
const statTimeout = time.Second

// filesystemSource reads the sizes of mounted file systems.
type filesystemSource struct {
	*Collector
	proc          procfs.FS
	types, mounts *regexp.Regexp
	stuck         map[string]chan statResult // mount points that have not answered yet
}

// space is what statfs(2) tells, in bytes and files.
type space struct{ size, free, available, files, filesFree float64 }

type statResult struct {
	space space
	err   error
}

func newFilesystemSource(c *Collector) (*source, error) {
	types, err := ignore(c.config.IgnoreFilesystemTypes)
	if err != nil {
		return nil, err
	}
	mounts, err := ignore(c.config.IgnoreMountPoints)
	if err != nil {
		return nil, err
	}
	proc, err := procfs.NewFS(c.config.Proc)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", c.config.Proc, err)
	}
	s := &filesystemSource{
		Collector: c, proc: proc, types: types, mounts: mounts, stuck: make(map[string]chan statResult),
	}
	return &source{collect: s.collect}, nil
}

func (s *filesystemSource) collect(w *writer) error {
	mounts, err := s.list()
	if err != nil {
		return err
	}
	// One wait for all, so that several dead servers cost one timeout.
	deadline := s.clock.NewTimer(statTimeout)
	defer deadline.Stop()
	for _, mount := range mounts {
		if s.stuck[mount.MountPoint] == nil {
			s.stuck[mount.MountPoint] = s.ask(mount.MountPoint)
		}
	}
	expired := false
	for _, mount := range mounts {
		pairs := []string{"device", mount.Source, "mountpoint", mount.MountPoint, "fstype", mount.FSType}
		result, ok := statResult{}, false
		if !expired {
			select {
			case result, ok = <-s.stuck[mount.MountPoint]:
			case <-deadline.C():
				expired = true
			}
		}
		if !ok { // it may have answered although the time is over
			select {
			case result, ok = <-s.stuck[mount.MountPoint]:
			default:
			}
		}
		if ok {
			delete(s.stuck, mount.MountPoint)
		}
		failed := !ok || result.err != nil
		w.add(metricFSError, flag(failed), pairs...)
		if failed {
			continue
		}
		_, readOnly := mount.Options["ro"]
		w.add(metricFSSize, result.space.size, pairs...)
		w.add(metricFSFree, result.space.free, pairs...)
		w.add(metricFSAvailable, result.space.available, pairs...)
		w.add(metricFSFiles, result.space.files, pairs...)
		w.add(metricFSFilesFree, result.space.filesFree, pairs...)
		w.add(metricFSReadOnly, flag(readOnly), pairs...)
	}
	return nil
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// list returns the mounts that count, each mount point once: what is mounted
// last is what is seen.
func (s *filesystemSource) list() ([]*procfs.MountInfo, error) {
	// Process 1 sees the node's mounts also from inside a container.
	all, err := s.proc.GetProcMounts(1)
	if err != nil {
		var own error
		if all, own = s.proc.GetMounts(); own != nil {
			return nil, errors.Join(err, own)
		}
	}
	at := make(map[string]int)
	var mounts []*procfs.MountInfo
	for _, mount := range all {
		mount.MountPoint = unescape(mount.MountPoint)
		if i, again := at[mount.MountPoint]; again {
			mounts[i] = mount
			continue
		}
		at[mount.MountPoint] = len(mounts)
		mounts = append(mounts, mount)
	}
	kept := mounts[:0]
	for _, mount := range mounts {
		if !ignored(s.types, mount.FSType) && !ignored(s.mounts, mount.MountPoint) {
			kept = append(kept, mount)
		}
	}
	return kept, nil
}

// unescape undoes how the kernel writes spaces in paths.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// ask asks for the size in a goroutine of its own, which ends when the kernel
// answers. There is never more than one for a mount point.
func (s *filesystemSource) ask(mountPoint string) chan statResult {
	answer := make(chan statResult, 1)
	path := filepath.Join(s.config.Rootfs, mountPoint)
	go func() {
		sp, err := statfs(path)
		answer <- statResult{space: sp, err: err}
	}()
	return answer
}
