package host

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// Config says what is read, where, and how often.
type Config struct {
	// Proc, Sys, Cgroup and Rootfs are where /proc, /sys, /sys/fs/cgroup and / of
	// the node are seen; a DaemonSet mounts them elsewhere.
	Proc   string `json:"proc,omitempty"`
	Sys    string `json:"sys,omitempty"`
	Cgroup string `json:"cgroup,omitempty"`
	Rootfs string `json:"rootfs,omitempty"`
	// CgroupRoot is the cgroup below which this node's cgroups lie, such as "/n1"
	// when a kubelet runs with cgroupRoot: /n1. Empty means to take what is above
	// "kubepods" in this process's own cgroup, or else "/".
	CgroupRoot string `json:"cgroupRoot,omitempty"`
	// CgroupDepth is how many levels below CgroupRoot are reported of cgroups that
	// are neither pods nor containers, such as systemd's services.
	CgroupDepth int `json:"cgroupDepth,omitempty"`
	// MaxCgroups bounds how many cgroups are reported; pods and containers come
	// first.
	MaxCgroups int `json:"maxCgroups,omitempty"`
	// MaxOpenFiles bounds how many files are kept open between ticks; the others
	// are opened each time.
	MaxOpenFiles int `json:"maxOpenFiles,omitempty"`
	// MetadataGrace is how long a new container is held back while its pod is not
	// known yet. After it the container is reported without its names.
	MetadataGrace model.Duration `json:"metadataGrace,omitempty"`
	// DecideInterval is how often the groups are read that decide about scaling,
	// RestInterval the others.
	DecideInterval model.Duration `json:"decideInterval,omitempty"`
	RestInterval   model.Duration `json:"restInterval,omitempty"`
	// Groups overrides the interval of single groups; 0 switches a group off.
	Groups map[string]model.Duration `json:"groups,omitempty"`
	// IgnoreFilesystemTypes, IgnoreMountPoints, IgnoreDisks and IgnoreInterfaces
	// are anchored regular expressions of what is left out.
	IgnoreFilesystemTypes string `json:"ignoreFilesystemTypes,omitempty"`
	IgnoreMountPoints     string `json:"ignoreMountPoints,omitempty"`
	IgnoreDisks           string `json:"ignoreDisks,omitempty"`
	IgnoreInterfaces      string `json:"ignoreInterfaces,omitempty"`
}

// Names of the groups.
const (
	groupCPU               = "cpu"
	groupMemory            = "memory"
	groupPressure          = "pressure"
	groupVMStat            = "vmstat"
	groupLoad              = "load"
	groupSystem            = "system"
	groupFilesystem        = "filesystem"
	groupDisk              = "disk"
	groupNetwork           = "network"
	groupContainerCPU      = "containerCPU"
	groupContainerMemory   = "containerMemory"
	groupContainerPressure = "containerPressure"
	groupContainerIO       = "containerIO"
	groupContainerNetwork  = "containerNetwork"
	groupContainerSpec     = "containerSpec"
)

// groups says of each group whether it decides.
var groups = map[string]bool{
	groupCPU:               true,
	groupMemory:            true,
	groupPressure:          true,
	groupVMStat:            true,
	groupLoad:              false,
	groupSystem:            false,
	groupFilesystem:        false,
	groupDisk:              false,
	groupNetwork:           false,
	groupContainerCPU:      true,
	groupContainerMemory:   true,
	groupContainerPressure: true,
	groupContainerIO:       false,
	groupContainerNetwork:  false,
	groupContainerSpec:     false,
}

// DefaultConfig returns the configuration for a process on the node itself.
func DefaultConfig() Config {
	return Config{
		Proc:           "/proc",
		Sys:            "/sys",
		Cgroup:         "/sys/fs/cgroup",
		Rootfs:         "/",
		CgroupDepth:    2,
		MaxCgroups:     1000,
		MaxOpenFiles:   8192,
		MetadataGrace:  model.Duration(10 * time.Second),
		DecideInterval: model.Duration(time.Second),
		RestInterval:   model.Duration(15 * time.Second),
		// Kernel interfaces and the layers of container images have no space of
		// their own.
		IgnoreFilesystemTypes: "autofs|binfmt_misc|bpf|cgroup|cgroup2|configfs|debugfs|devpts|devtmpfs|efivarfs|" +
			"erofs|fuse.lxcfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|pstore|ramfs|rpc_pipefs|securityfs|" +
			"selinuxfs|squashfs|sysfs|tracefs",
		// Each volume and sandbox of a pod is a mount of a file system that is
		// reported already.
		IgnoreMountPoints: "/(dev|proc|sys|run/credentials|run/containerd|run/docker|run/netns|run/user|var/lib/docker|" +
			"var/lib/containerd|var/lib/containers|var/lib/kubelet/(pods|plugins)|snap)(/.*)?",
		IgnoreDisks:      "(z?ram|loop|fd)\\d+|(h|s|v|xv)d[a-z]+\\d+|(nvme\\d+n|mmcblk)\\d+p\\d+",
		IgnoreInterfaces: "",
	}
}

// The shortest interval: below it reading costs more than it tells, since the
// kernel counts processor time in steps of several milliseconds.
const minInterval = 100 * time.Millisecond

// Validate says which field is wrong.
func (c Config) Validate() error {
	for _, path := range []struct{ field, value string }{
		{"proc", c.Proc}, {"sys", c.Sys}, {"cgroup", c.Cgroup}, {"rootfs", c.Rootfs},
	} {
		if path.value == "" {
			return fmt.Errorf("%s: is empty", path.field)
		}
	}
	for _, number := range []struct {
		field string
		value int
		least int
	}{
		{"cgroupDepth", c.CgroupDepth, 0}, {"maxCgroups", c.MaxCgroups, 1}, {"maxOpenFiles", c.MaxOpenFiles, 0},
	} {
		if number.value < number.least {
			return fmt.Errorf("%s: %d is less than %d", number.field, number.value, number.least)
		}
	}
	if c.MetadataGrace < 0 {
		return fmt.Errorf("metadataGrace: %s is negative", c.MetadataGrace)
	}
	for _, interval := range []struct {
		field string
		value model.Duration
	}{{"decideInterval", c.DecideInterval}, {"restInterval", c.RestInterval}} {
		if time.Duration(interval.value) < minInterval {
			return fmt.Errorf("%s: %s is shorter than %s", interval.field, interval.value, minInterval)
		}
	}
	for name, interval := range c.Groups {
		if _, known := groups[name]; !known {
			return fmt.Errorf("groups.%s: no such group; there are %v", name, slices.Sorted(maps.Keys(groups)))
		}
		if interval != 0 && time.Duration(interval) < minInterval {
			return fmt.Errorf("groups.%s: %s is shorter than %s (0 switches the group off)", name, interval, minInterval)
		}
	}
	for _, pattern := range []struct{ field, value string }{
		{"ignoreFilesystemTypes", c.IgnoreFilesystemTypes}, {"ignoreMountPoints", c.IgnoreMountPoints},
		{"ignoreDisks", c.IgnoreDisks}, {"ignoreInterfaces", c.IgnoreInterfaces},
	} {
		if _, err := ignore(pattern.value); err != nil {
			return fmt.Errorf("%s: %w", pattern.field, err)
		}
	}
	return nil
}

// lanes returns the groups by interval. Groups of one interval are read together
// and leave in one batch.
func (c Config) lanes() map[time.Duration][]string {
	lanes := make(map[time.Duration][]string)
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		interval := c.RestInterval
		if groups[name] {
			interval = c.DecideInterval
		}
		if override, ok := c.Groups[name]; ok {
			interval = override
		}
		if interval > 0 {
			lanes[time.Duration(interval)] = append(lanes[time.Duration(interval)], name)
		}
	}
	return lanes
}

// ignore compiles an anchored expression; nil matches nothing.
func ignore(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	return regexp.Compile("^(?:" + pattern + ")$")
}

func ignored(pattern *regexp.Regexp, s string) bool { return pattern != nil && pattern.MatchString(s) }
