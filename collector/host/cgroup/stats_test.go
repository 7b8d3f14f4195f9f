package cgroup

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// write makes files of a cgroup file system in a folder.
func write(t testing.TB, folder string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
}

func open(t testing.TB, folder string) *Tree {
	t.Helper()
	tree, err := Open(folder, Limits{Root: "/", Depth: 2, Cgroups: 100}, NewBudget(100))
	require.NoError(t, err)
	return tree
}

func TestReadVersion2(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, map[string]string{
		"cgroup.controllers": "cpuset cpu io memory pids\n",
		"c/cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\nnr_periods 10\nnr_throttled 4\n" +
			"throttled_usec 250000\nnr_bursts 0\nburst_usec 0\n",
		"c/cpu.max":        "50000 100000\n",
		"c/cpu.weight":     "39\n",
		"c/memory.current": "1000000\n",
		"c/memory.stat": "anon 400000\nfile 500000\nkernel 100000\nfile_mapped 2000\ninactive_file 300000\n" +
			"active_file 200000\npgfault 77\npgmajfault 3\n",
		"c/memory.events":       "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n",
		"c/memory.swap.current": "4096\n",
		"c/memory.max":          "max\n",
		"c/memory.peak":         "1200000\n",
		"c/pids.current":        "5\n",
		"c/pids.max":            "100\n",
		"c/cpu.pressure":        "some avg10=1.50 avg60=0.00 avg300=0.00 total=100\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=40\n",
		"c/memory.pressure":     "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=6\n",
		"c/io.pressure":         "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\n",
		"c/io.stat":             "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n254:0 \nloop rbytes=5\n",
		"c/cgroup.procs":        "12\n34\n",
	})
	tree := open(t, folder)
	require.Equal(t, V2, tree.Version())
	r, scratch := tree.NewReader("/c"), &Scratch{}
	defer r.Close()

	cpu, err := r.CPU(scratch)
	require.NoError(t, err)
	require.Equal(t, CPU{
		Usage: 1_500_000_000, User: 1_000_000_000, System: 500_000_000,
		Limited: true, Periods: 10, ThrottledPeriods: 4, Throttled: 250_000_000,
	}, cpu)

	memory, err := r.Memory(scratch)
	require.NoError(t, err)
	require.Equal(t, Memory{
		Usage: 1_000_000, RSS: 400_000, Cache: 500_000, InactiveFile: 300_000, ActiveFile: 200_000, MappedFile: 2000,
		Kernel: 100_000, Swap: 4096, PageFaults: 77, MajorPageFaults: 3, OOMKills: 1, HasOOM: true,
	}, memory)
	require.EqualValues(t, 700_000, memory.WorkingSet())

	pressure, err := r.Pressure(scratch)
	require.NoError(t, err)
	require.Equal(t, Pressure{
		CPU:    Stall{Some: 100, Full: 40, HasSome: true, HasFull: true},
		Memory: Stall{Some: 7, Full: 6, HasSome: true, HasFull: true},
		IO:     Stall{Some: 9, HasSome: true},
	}, pressure)

	require.Equal(t, Spec{
		Quota: 50_000, Period: 100_000, Shares: 998, Peak: 1_200_000, HasPeak: true,
		Tasks: 5, MaxTasks: 100, HasTasks: true,
	}, r.Spec(scratch))

	ios, err := r.IO(scratch)
	require.NoError(t, err)
	require.Equal(t, []IO{{Major: 8, Minor: 16, ReadBytes: 1, WriteBytes: 2, Reads: 3, Writes: 4}, {Major: 254}}, ios)

	var pids []uint64
	require.NoError(t, r.Processes(scratch, func(pid uint64) bool { pids = append(pids, pid); return true }))
	require.Equal(t, []uint64{12, 34}, pids)
}

func TestReadVersion1(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, map[string]string{
		"cpu,cpuacct/cgroup.procs":                          "1\n",
		"memory/cgroup.procs":                               "1\n",
		"blkio/cgroup.procs":                                "1\n",
		"cpu,cpuacct/c/cpu.stat":                            "nr_periods 3\nnr_throttled 2\nthrottled_time 5000\n",
		"cpu,cpuacct/c/cpu.cfs_quota_us":                    "-1\n",
		"cpu,cpuacct/c/cpu.cfs_period_us":                   "100000\n",
		"cpu,cpuacct/c/cpu.shares":                          "512\n",
		"cpu,cpuacct/c/cpuacct.usage":                       "123456789\n",
		"cpu,cpuacct/c/cpuacct.stat":                        "user 7\nsystem 5\n",
		"memory/c/memory.usage_in_bytes":                    "100\n",
		"memory/c/memory.stat":                              "rss 1\ncache 2\ntotal_rss 30\ntotal_cache 60\ntotal_inactive_file 500\ntotal_swap 9\n",
		"memory/c/memory.oom_control":                       "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n",
		"memory/c/memory.limit_in_bytes":                    "9223372036854771712\n",
		"memory/c/memory.max_usage_in_bytes":                "200\n",
		"memory/c/memory.failcnt":                           "8\n",
		"blkio/c/blkio.throttle.io_service_bytes_recursive": "8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:0 Total 30\nTotal 30\n",
		"blkio/c/blkio.throttle.io_serviced_recursive":      "8:0 Read 1\n8:0 Write 2\nTotal 3\n",
	})
	tree := open(t, folder)
	require.Equal(t, V1, tree.Version())
	r, scratch := tree.NewReader("/c"), &Scratch{}
	defer r.Close()

	cpu, err := r.CPU(scratch)
	require.NoError(t, err)
	require.Equal(t, CPU{
		Usage: 123456789, User: 70_000_000, System: 50_000_000,
		Limited: true, Periods: 3, ThrottledPeriods: 2, Throttled: 5000,
	}, cpu)

	memory, err := r.Memory(scratch)
	require.NoError(t, err)
	require.Equal(t, Memory{Usage: 100, RSS: 30, Cache: 60, InactiveFile: 500, Swap: 9, OOMKills: 6, HasOOM: true}, memory)
	require.Zero(t, memory.WorkingSet(), "never below zero")

	require.Equal(t, Spec{Period: 100_000, Shares: 512, Peak: 200, HasPeak: true, Failures: 8, HasFailures: true}, r.Spec(scratch))

	ios, err := r.IO(scratch)
	require.NoError(t, err)
	require.Equal(t, []IO{{Major: 8, ReadBytes: 10, WriteBytes: 20, Reads: 1, Writes: 2}}, ios)

	_, err = r.Pressure(scratch)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestFilesBeyondTheBudgetAreStillRead(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, map[string]string{"a": "one", "b": "two"})
	budget, buffer := NewBudget(1), []byte(nil)
	a, b := NewFile(filepath.Join(folder, "a"), budget), NewFile(filepath.Join(folder, "b"), budget)
	for range 3 {
		content, err := a.Read(&buffer)
		require.NoError(t, err)
		require.Equal(t, "one", string(content))
		content, err = b.Read(&buffer)
		require.NoError(t, err)
		require.Equal(t, "two", string(content))
	}
	a.Close()
	b.Close()
	require.EqualValues(t, 1, budget.left.Load())
}

func TestWalk(t *testing.T) {
	folder := t.TempDir()
	pod := "kubepods/burstable/pod" + testUID
	write(t, folder, map[string]string{
		"cgroup.controllers":                      "cpu memory\n",
		pod + "/" + idA + "/nested/cgroup.procs":  "",
		"system.slice/a.service/deep/x":           "",
		"system.slice/docker-" + idB + ".scope/x": "",
	})
	tree := open(t, folder)
	paths := func() (list []string) {
		found, left := tree.Walk()
		require.Zero(t, left)
		for _, ref := range found {
			list = append(list, ref.Path)
		}
		return list
	}
	want := []string{
		"/", "/" + pod, "/" + pod + "/" + idA, "/system.slice/docker-" + idB + ".scope",
		"/kubepods", "/kubepods/burstable", "/system.slice", "/system.slice/a.service",
	}
	require.Equal(t, want, paths())
	require.Equal(t, want, paths(), "the second walk reads no folder anew")

	// A container that was restarted between two walks: the number of folders is
	// the same.
	require.NoError(t, os.RemoveAll(filepath.Join(folder, pod, idA)))
	require.NoError(t, os.Mkdir(filepath.Join(folder, pod, idB), 0o755))
	tree.Vanished("/" + pod + "/" + idA)
	require.Contains(t, paths(), "/"+pod+"/"+idB)
	require.NotContains(t, paths(), "/"+pod+"/"+idA)

	require.NoError(t, os.RemoveAll(filepath.Join(folder, "kubepods")))
	require.NotContains(t, paths(), "/"+pod)

	// Without being told, a replaced folder is noticed after some walks.
	require.NoError(t, os.Rename(filepath.Join(folder, "system.slice/a.service"), filepath.Join(folder, "system.slice/b.service")))
	var last []string
	for range rescanWalks {
		last = paths()
	}
	require.Contains(t, last, "/system.slice/b.service")
}

func TestWalkBelowARootAndWithinTheLimit(t *testing.T) {
	folder := t.TempDir()
	for _, node := range []string{"n1", "n2"} {
		write(t, folder, map[string]string{
			"cgroup.controllers": "cpu memory\n",
			node + "/kubepods/pod" + testUID + "/" + idA + "/x": "",
		})
	}
	tree, err := Open(folder, Limits{Root: "n1", Depth: 2, Cgroups: 2}, NewBudget(10))
	require.NoError(t, err)
	found, left := tree.Walk()
	require.Equal(t, []Ref{
		{Path: "/n1/kubepods/pod" + testUID, Kind: Pod, PodUID: testUID},
		{Path: "/n1/kubepods/pod" + testUID + "/" + idA, Kind: Container, PodUID: testUID, ContainerID: idA},
	}, found)
	require.Equal(t, 2, left)
}

func TestOpenWithoutControllers(t *testing.T) {
	_, err := Open(t.TempDir(), Limits{}, NewBudget(1))
	require.ErrorIs(t, err, ErrNoControllers)
}

func FuzzParsers(f *testing.F) {
	for _, seed := range []string{
		"usage_usec 1\nuser_usec 18446744073709551616\n", "8:16 rbytes=1 wbytes=2\n", "8:0 Read 10\nTotal 30\n",
		"some avg10=0.00 total=7\nfull total=", "max 100000", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		Pairs(content, func([]byte, uint64) {})
		ParsePressure(content)
		var m Memory
		m.parseStatV1(content)
		m.parseStatV2(content)
		lines := 1
		for _, c := range content {
			if c == '\n' {
				lines++
			}
		}
		for _, parse := range []func(*Scratch){
			func(s *Scratch) { parseIOV2(content, s) },
			func(s *Scratch) { parseIOV1(content, s, false) },
		} {
			var s Scratch
			parse(&s)
			if len(s.ios) > lines {
				t.Fatalf("%d devices in %d lines", len(s.ios), lines)
			}
		}
	})
}
