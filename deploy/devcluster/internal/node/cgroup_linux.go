package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupMount = "/sys/fs/cgroup"

// hierarchy is one mounted cgroup hierarchy: the only one of cgroup v2, or one
// of several of v1.
type hierarchy struct {
	// path is relative to cgroupMount; "." for v2 alone.
	path string
	v2   bool
	// options are what v1 is mounted with, such as "cpu" or "none,name=systemd".
	options string
}

// hierarchies returns the cgroup hierarchies that this process sees.
func hierarchies() ([]hierarchy, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find cgroups: %w", err)
	}
	found, err := parseHierarchies(data)
	if err != nil {
		return nil, fmt.Errorf("find cgroups: %w", err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("find cgroups: none are mounted below %s", cgroupMount)
	}
	return found, nil
}

// parseHierarchies reads the content of /proc/PID/mountinfo.
func parseHierarchies(mountinfo []byte) ([]hierarchy, error) {
	var found []hierarchy
	scanner := bufio.NewScanner(bytes.NewReader(mountinfo))
	for scanner.Scan() {
		// 36 35 98:0 /root /mount rw,noatime master:1 - cgroup cgroup rw,cpu
		before, after, ok := strings.Cut(scanner.Text(), " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(rest) < 3 {
			return nil, fmt.Errorf("malformed line of mountinfo %q", scanner.Text())
		}
		kind, point := rest[0], fields[4]
		if kind != "cgroup" && kind != "cgroup2" {
			continue
		}
		path, err := filepath.Rel(cgroupMount, point)
		if err != nil || strings.HasPrefix(path, "..") {
			continue
		}
		h := hierarchy{path: path, v2: kind == "cgroup2"}
		if !h.v2 {
			h.options = mountOptions(rest[2])
		}
		// What is mounted later at the same place hides what was there.
		found = append(slices.DeleteFunc(found, func(other hierarchy) bool { return other.path == path }), h)
	}
	return found, scanner.Err()
}

// mountOptions keeps the options that name a v1 hierarchy.
func mountOptions(all string) string {
	var kept []string
	named := false
	for option := range strings.SplitSeq(all, ",") {
		switch {
		case strings.HasPrefix(option, "name="):
			kept, named = append(kept, option), true
		case option == "rw" || option == "ro" || option == "xattr" || option == "clone_children" ||
			option == "noprefix" || strings.HasPrefix(option, "release_agent="):
		default:
			kept = append(kept, option)
		}
	}
	if named && len(kept) == 1 {
		kept = append([]string{"none"}, kept...) // It has no controller.
	}
	return strings.Join(kept, ",")
}

// enterCgroups moves this process into a cgroup of the given name in every
// hierarchy, created if missing.
func enterCgroups(all []hierarchy, name string) error {
	for _, h := range all {
		root := filepath.Join(cgroupMount, h.path)
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("create cgroup: %w", err)
		}
		// A new cpuset is empty, and takes no process until it is not.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if err := inherit(root, dir, file); err != nil {
				return fmt.Errorf("create cgroup: %w", err)
			}
		}
		if h.v2 {
			if err := delegate(root); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("enter cgroup %s: %w", dir, err)
		}
	}
	return nil
}

// inherit copies a v1 cpuset's setting to a new child.
func inherit(parent, child, file string) error {
	value, err := os.ReadFile(filepath.Join(parent, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Not this hierarchy, or v2, which inherits by itself.
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(child, file), value, 0)
	}
	return err
}

// delegate gives the children of a v2 cgroup every controller that it has.
func delegate(dir string) error {
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("delegate cgroup: %w", err)
	}
	for _, controller := range strings.Fields(string(controllers)) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0); err != nil {
			return fmt.Errorf("delegate controller %s of cgroup %s: %w", controller, dir, err)
		}
	}
	return nil
}

// cgroupLinks returns the links between the mounts of hierarchies: "cpu" leads
// to "cpu,cpuacct" where both share one.
func cgroupLinks() (map[string]string, error) {
	entries, err := os.ReadDir(cgroupMount)
	if err != nil {
		return nil, fmt.Errorf("find cgroups: %w", err)
	}
	links := map[string]string{}
	for _, entry := range entries {
		if target, err := os.Readlink(filepath.Join(cgroupMount, entry.Name())); err == nil {
			links[entry.Name()] = target
		}
	}
	return links, nil
}

// mountCgroups mounts the hierarchies in a /sys that has none. This process's
// cgroup namespace shows the node's part of them only.
func mountCgroups(all []hierarchy, links map[string]string) error {
	alone := len(all) == 1 && all[0].path == "."
	if !alone {
		if err := unix.Mount("tmpfs", cgroupMount, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755"); err != nil {
			return fmt.Errorf("mount cgroups: %w", err)
		}
	}
	for _, h := range all {
		target, kind := filepath.Join(cgroupMount, h.path), "cgroup"
		if h.v2 {
			kind = "cgroup2"
		}
		if err := os.MkdirAll(target, 0o755); err != nil {
			return fmt.Errorf("mount cgroups: %w", err)
		}
		if err := unix.Mount(kind, target, kind, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, h.options); err != nil {
			return fmt.Errorf("mount cgroup %s (%s): %w", target, h.options, err)
		}
	}
	if !alone {
		for name, target := range links {
			if err := os.Symlink(target, filepath.Join(cgroupMount, name)); err != nil {
				return fmt.Errorf("mount cgroups: %w", err)
			}
		}
	}
	for _, h := range all {
		if h.v2 && alone {
			return leaveRoot()
		}
	}
	return nil
}

// leaveRoot moves the node's processes out of the root of its v2 hierarchy: a
// cgroup that has children with controllers must hold no processes itself.
func leaveRoot() error {
	system := filepath.Join(cgroupMount, "system")
	if err := os.Mkdir(system, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create cgroup: %w", err)
	}
	if err := os.WriteFile(filepath.Join(system, "cgroup.procs"), []byte("0"), 0); err != nil {
		return fmt.Errorf("enter cgroup %s: %w", system, err)
	}
	return delegate(cgroupMount)
}

// removeCgroups removes a node's cgroups, which must hold no live process. The
// kernel needs a moment to empty those of processes that were just killed.
func removeCgroups(ctx context.Context, name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		dir := filepath.Join(cgroupMount, h.path, name)
		for {
			err := removeTree(dir)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("remove cgroup: %w", err)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// removeTree removes a cgroup and those below it. Their files cannot be
// removed, and go with the folders.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rmdir %s: %w", dir, err)
	}
	return nil
}
