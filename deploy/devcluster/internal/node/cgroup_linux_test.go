package node

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const rootLine = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"

func TestParseHierarchies(t *testing.T) {
	tests := map[string]struct {
		mountinfo string
		want      []hierarchy
	}{
		"v2 alone": {
			rootLine + "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
			[]hierarchy{{path: ".", v2: true}},
		},
		"v1, one controller each": {
			rootLine +
				"31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:10 - cgroup cgroup rw,cpu\n" +
				"32 30 0:28 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd\n",
			[]hierarchy{{path: "cpu", options: "cpu"}, {path: "systemd", options: "none,name=systemd"}},
		},
		"v1, shared hierarchy, and v2 beside it": {
			rootLine +
				"31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
				"32 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			[]hierarchy{{path: "cpu,cpuacct", options: "cpu,cpuacct"}, {path: "unified", v2: true}},
		},
		"elsewhere": {rootLine + "31 30 0:27 / /mnt/cgroup rw - cgroup cgroup rw,cpu\n", nil},
		"hidden by a later mount": {
			"31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" +
				"32 30 0:27 /docker/1 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,clone_children\n",
			[]hierarchy{{path: "cpu", options: "cpu"}},
		},
		"nothing": {"", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseHierarchies([]byte(test.mountinfo))
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestParseHierarchiesRefusesNonsense(t *testing.T) {
	for _, mountinfo := range []string{"nonsense\n", "1 2 3 - cgroup\n", " - \n"} {
		_, err := parseHierarchies([]byte(mountinfo))
		require.ErrorContains(t, err, "malformed", mountinfo)
	}
}

func FuzzParseHierarchies(f *testing.F) {
	f.Add([]byte(rootLine))
	f.Add([]byte("31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:10 - cgroup cgroup rw,cpu\n"))
	if data, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, mountinfo []byte) {
		found, err := parseHierarchies(mountinfo)
		if err != nil {
			return
		}
		for _, h := range found {
			require.True(t, filepath.IsLocal(h.path), h.path)
		}
	})
}

func TestRemoveTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "kubepods", "pod1"), 0o755))
	require.NoError(t, removeTree(dir))
	require.NoDirExists(t, dir)
	require.NoError(t, removeTree(dir), "what is gone is gone")
}
