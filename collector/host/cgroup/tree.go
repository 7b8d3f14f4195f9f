package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Version is the version of the kernel's interface.
type Version uint8

// The versions.
const (
	V1 Version = 1
	V2 Version = 2
)

// Tree is the cgroup file system of a machine. It is not safe for concurrent use.
type Tree struct {
	version Version
	mounts  map[string]string // controller -> folder of its hierarchy
	limits  Limits
	budget  *Budget
	scanned map[string]*scan // by folder, what the last walk saw there
	walks   uint64
}

// Limits bound what a walk finds.
type Limits struct {
	// Root is where the walk begins, "/" for everything.
	Root string
	// Depth is how many levels below Root are found of what is neither a pod nor
	// a container.
	Depth int
	// Cgroups is the most that a walk returns. Containers and pods come first.
	Cgroups int
}

// ErrNoControllers says that there is no cgroup file system with a controller.
var ErrNoControllers = errors.New("no cgroup controller is mounted")

// controllers are the hierarchies of version 1 that are read, with the names
// under which distributions mount them.
var controllers = map[string][]string{
	"cpu":     {"cpu", "cpu,cpuacct", "cpuacct,cpu"},
	"cpuacct": {"cpuacct", "cpu,cpuacct", "cpuacct,cpu"},
	"memory":  {"memory"},
	"blkio":   {"blkio"},
	"pids":    {"pids"},
}

// Open looks at the cgroup file system mounted at folder, usually /sys/fs/cgroup.
// A machine that mounts both versions counts as version 1, unless version 2 has
// the controllers.
func Open(folder string, limits Limits, budget *Budget) (*Tree, error) {
	if limits.Root == "" {
		limits.Root = "/"
	}
	limits.Root = filepath.Clean("/" + limits.Root)
	tree := &Tree{limits: limits, budget: budget, scanned: make(map[string]*scan)}
	for _, unified := range []string{folder, filepath.Join(folder, "unified")} {
		enabled, err := os.ReadFile(filepath.Join(unified, "cgroup.controllers"))
		if err == nil && slices.Contains(strings.Fields(string(enabled)), "memory") {
			tree.version = V2
			tree.mounts = map[string]string{"": unified}
			return tree, nil
		}
	}
	tree.version, tree.mounts = V1, make(map[string]string)
	for controller, names := range controllers {
		for _, name := range names {
			mount := filepath.Join(folder, name)
			if info, err := os.Stat(filepath.Join(mount, "cgroup.procs")); err == nil && !info.IsDir() {
				tree.mounts[controller] = mount
				break
			}
		}
	}
	if len(tree.mounts) == 0 {
		return nil, fmt.Errorf("open cgroups at %s: %w", folder, ErrNoControllers)
	}
	return tree, nil
}

// Version returns the version of the interface.
func (t *Tree) Version() Version { return t.version }

// file returns the path of a file of a cgroup; empty when the controller is not
// mounted. Version 2 has one folder for all controllers.
func (t *Tree) file(controller, cgroup, name string) string {
	if t.version == V2 {
		controller = ""
	}
	mount := t.mounts[controller]
	if mount == "" {
		return ""
	}
	return mount + cgroup + "/" + name
}

// scan is what a walk saw in one folder.
type scan struct {
	links    uint64
	children []string
	walk     uint64 // the last walk that came by
	fresh    uint64 // the last walk that read the folder
}

// rescanWalks is after how many walks a folder is read again although nothing
// points to a change.
const rescanWalks = 16

// Walk returns the cgroups that exist now: the root, containers and pods first,
// the rest in order of their paths. left is how many more there are than the limit allows.
//
// Folders whose count of subfolders has not changed are not read again, since a
// cgroup's folder lists dozens of files. One that was replaced between two walks
// keeps that count, so callers report a cgroup that is gone with Vanished.
func (t *Tree) Walk() (found []Ref, left int) {
	t.walks++
	seen := make(map[string]struct{})
	for _, controller := range t.walked() {
		mount := t.mounts[controller]
		root := Ref{Path: t.limits.Root}
		if _, err := os.Stat(mount + root.Path); err != nil {
			continue
		}
		if last := root.Path[strings.LastIndexByte(root.Path, '/')+1:]; last != "" {
			if ref, ok := classify(Ref{Path: "/"}, last); ok && ref.Kind == Kubepods {
				root.Kind = Kubepods
			}
		}
		t.walk(mount, root, 0, func(ref Ref) {
			if _, again := seen[ref.Path]; !again {
				seen[ref.Path] = struct{}{}
				found = append(found, ref)
			}
		})
	}
	for folder, s := range t.scanned {
		if s.walk != t.walks {
			delete(t.scanned, folder)
		}
	}
	slices.SortFunc(found, compareRefs)
	if most := t.limits.Cgroups; most > 0 && len(found) > most {
		left = len(found) - most
		found = found[:most]
	}
	return found, left
}

// walked lists the hierarchies whose folders together show every cgroup.
func (t *Tree) walked() []string {
	if t.version == V2 {
		return []string{""}
	}
	var list []string
	for _, controller := range []string{"memory", "cpuacct", "cpu"} {
		mount := t.mounts[controller]
		if mount != "" && !slices.ContainsFunc(list, func(c string) bool { return t.mounts[c] == mount }) {
			list = append(list, controller)
		}
	}
	return list
}

// compareRefs puts the root first, then what has metadata, then the rest.
func compareRefs(a, b Ref) int {
	rank := func(r Ref) int {
		switch {
		case r.Path == "/":
			return 0
		case r.Kind == Container || r.Kind == Pod:
			return 1
		case r.Kind == Kubepods:
			return 2
		}
		return 3
	}
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	return strings.Compare(a.Path, b.Path)
}

func (t *Tree) walk(mount string, ref Ref, depth int, yield func(Ref)) {
	yield(ref)
	if ref.Kind == Container || (ref.Kind == Other && depth >= t.limits.Depth) {
		return
	}
	for _, name := range t.children(mount + ref.Path) {
		if child, ok := classify(ref, name); ok {
			t.walk(mount, child, depth+1, yield)
		}
	}
}

// children lists the subfolders of a folder.
func (t *Tree) children(folder string) []string {
	folder = filepath.Clean(folder)
	var status unix.Stat_t
	if err := unix.Stat(folder, &status); err != nil {
		return nil // removed since its parent was read
	}
	links := uint64(status.Nlink)
	s := t.scanned[folder]
	if s == nil {
		s = &scan{}
		t.scanned[folder] = s
	}
	s.walk = t.walks
	// One link means that the file system does not count subfolders.
	if s.fresh != 0 && links == s.links && links > 1 && t.walks-s.fresh < rescanWalks {
		return s.children
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	s.links, s.fresh, s.children = links, t.walks, s.children[:0]
	for _, entry := range entries {
		if entry.IsDir() {
			s.children = append(s.children, entry.Name())
		}
	}
	return s.children
}

// Vanished says that reading a cgroup failed because it is gone: the next walk
// reads the folder it was in.
func (t *Tree) Vanished(path string) {
	parent := path[:strings.LastIndexByte(path, '/')]
	for _, mount := range t.mounts {
		if s := t.scanned[filepath.Clean(mount+parent)]; s != nil {
			s.fresh = 0
		}
	}
}
