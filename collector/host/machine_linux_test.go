package host

import (
	"bufio"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"k8s.io/utils/clock"

	"github.com/yagura-dev/yagura/collector/sample"
)

// machine reads this machine once, everything.
func machine(t *testing.T, config Config) (*lane, *sink) {
	t.Helper()
	s := &sink{}
	c, err := newCollector(config, Identity{Node: "this"}, nil, s, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), clock.RealClock{})
	require.NoError(t, err)
	var all []string
	for name := range groups {
		all = append(all, name)
	}
	slices.Sort(all)
	l, err := c.newLane(time.Second, all)
	require.NoError(t, err)
	t.Cleanup(l.close)
	return l, s
}

// exposition returns the label names of each metric in an exposition.
func exposition(t *testing.T, name string) map[string][]string {
	t.Helper()
	path := filepath.Join("../../../shared/data/metrics", name)
	file, err := os.Open(path)
	if os.IsNotExist(err) && os.Getenv("CI") != "true" {
		t.Skipf("%s is not here, so names cannot be compared", path)
	}
	require.NoError(t, err)
	defer file.Close()
	label := regexp.MustCompile(`([a-zA-Z_]\w*)="`)
	found := make(map[string][]string)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		metric := line[:strings.IndexAny(line, "{ ")]
		names := []string{}
		if end := strings.LastIndexByte(line, '}'); end > 0 {
			for _, match := range label.FindAllStringSubmatch(line[:end], -1) {
				names = append(names, match[1])
			}
		}
		slices.Sort(names)
		found[metric] = names
	}
	require.NoError(t, lines.Err())
	return found
}

// dashboards returns the text of the dashboards that people use.
func dashboards(t *testing.T) string {
	t.Helper()
	paths, err := filepath.Glob("../../../shared/data/dashboards/*.json")
	require.NoError(t, err)
	var text strings.Builder
	for _, path := range paths {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		text.Write(content)
	}
	return text.String()
}

// Names that the example of node_exporter lacks since its machine or its
// configuration did, or that are cAdvisor's.
var beyondExample = map[string]bool{
	"node_uname_info": true, "node_time_seconds": true, "machine_cpu_cores": true, "machine_memory_bytes": true,
	"node_timex_sync_status": true, "node_timex_offset_seconds": true, "node_timex_estimated_error_seconds": true,
	"node_timex_maxerror_seconds": true, "node_filesystem_size_bytes": true, "node_filesystem_free_bytes": true,
	"node_filesystem_avail_bytes": true, "node_filesystem_files": true, "node_filesystem_files_free": true,
	"node_filesystem_readonly": true, "node_filesystem_device_error": true, "node_netstat_TcpExt_TCPSynRetrans": true,
}

func TestThisMachineHasTheNamesOfNodeExporter(t *testing.T) {
	known := exposition(t, "node_exporter.prom")
	queried := dashboards(t)
	config := DefaultConfig()
	l, s := machine(t, config)
	l.collect(context.Background(), time.Now())
	seen := make(map[string]bool)
	for _, v := range s.samples {
		name := v.Labels.Get("__name__")
		seen[name] = true
		if strings.HasPrefix(name, "container_") || beyondExample[name] || strings.HasPrefix(name, "node_memory_") {
			continue // fields of /proc/meminfo come and go with the kernel
		}
		want, ok := known[name]
		if !ok {
			require.True(t, strings.Contains(queried, name), "%s: neither node_exporter's example nor a dashboard has it", name)
			continue
		}
		var names []string
		for label := range v.Labels.Map() {
			if !slices.Contains([]string{"__name__", "job", "instance", "node", "cluster"}, label) {
				names = append(names, label)
			}
		}
		slices.Sort(names)
		require.ElementsMatch(t, want, names, name)
	}
	for _, name := range []string{
		"node_cpu_seconds_total", "node_load1", "node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes",
		"node_filesystem_size_bytes", "node_network_receive_bytes_total", "node_boot_time_seconds", "node_uname_info",
		"node_context_switches_total", "node_vmstat_oom_kill", "node_filefd_allocated", "node_netstat_Tcp_CurrEstab",
		"machine_cpu_cores", "machine_memory_bytes",
	} {
		require.True(t, seen[name], "%s is missing", name)
	}
	for name := range groups {
		require.Zero(t, testutil.ToFloat64(l.metrics.failures.WithLabelValues(name)), "group %s failed", name)
	}
	t.Logf("%d series of %d metrics", len(s.samples), len(seen))
}

func TestContainerSeriesHaveTheNamesOfCAdvisor(t *testing.T) {
	known := exposition(t, "cadvisor.prom")
	// The kubelet's cAdvisor has these; the example does not.
	beyond := map[string]bool{"container_spec_memory_limit_bytes": true}
	all := slices.Clone(containerMetrics[:])
	all = append(all, metricFSReadBytes, metricFSReads, metricFSWriteBytes, metricFSWrites)
	for _, c := range podNetworkCounters {
		all = append(all, c.metric)
	}
	for _, m := range all {
		_, ok := known[m.name]
		require.True(t, ok || beyond[m.name], "cAdvisor has no %s", m.name)
	}
}

// TestRealCgroup makes a cgroup of this kernel with a quota and a memory limit,
// lets processes use both up, and finds it in the series.
func TestRealCgroup(t *testing.T) {
	hierarchies := make(map[string]string)
	root := "/sys/fs/cgroup"
	name := "yagura-test-" + strconv.Itoa(os.Getpid())
	pod := filepath.Join("kubepods", "pod"+testUID)
	for _, controller := range []string{"cpu", "cpuacct", "memory"} {
		folder := filepath.Join(root, controller, name, pod, idA)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Skipf("cannot make a cgroup of version 1 here: %v", err)
		}
		hierarchies[controller] = folder
		t.Cleanup(func() {
			for dir := folder; dir != filepath.Join(root, controller); dir = filepath.Dir(dir) {
				for range 100 { // the kernel lets go of a killed process's cgroup a moment later
					if os.Remove(dir) == nil {
						break
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	set := func(controller, file, value string) {
		require.NoError(t, os.WriteFile(filepath.Join(hierarchies[controller], file), []byte(value), 0o600))
	}
	if err := os.WriteFile(filepath.Join(hierarchies["cpu"], "cpu.cfs_quota_us"), []byte("10000"), 0o600); err != nil {
		t.Skipf("cannot set a quota here: %v", err)
	}
	set("memory", "memory.limit_in_bytes", "33554432")
	join := "for c in cpu cpuacct memory; do echo $$ > " + root + "/$c/" + filepath.Join(name, pod, idA) + "/cgroup.procs; done; "
	// Memory is charged to where a process is when it first touches it.
	burn := exec.Command("sh", "-c", join+"x=$(head -c 4000000 /dev/zero | tr '\\0' x); while :; do :; done")
	require.NoError(t, burn.Start())
	t.Cleanup(func() { _ = burn.Process.Kill(); _ = burn.Wait() })
	// A shell that doubles a variable until the kernel kills it.
	eat := exec.Command("sh", "-c", join+"x=0123456789abcdef; while :; do x=$x$x; done")
	require.Error(t, eat.Run(), "it is killed for memory")

	config := DefaultConfig()
	config.CgroupRoot = "/" + name
	l, s := machine(t, config)
	value := func(metric string) float64 {
		for text, v := range named(s.take(), metric) {
			if strings.Contains(text, idA) && !sample.IsStale(v) {
				return v
			}
		}
		return -1
	}
	read := func(metric string) float64 {
		l.collect(context.Background(), time.Now())
		return value(metric)
	}
	require.Eventually(t, func() bool { return read("container_cpu_cfs_throttled_periods_total") > 3 }, 2*time.Minute, 50*time.Millisecond)
	require.Eventually(t, func() bool { return read("container_oom_events_total") >= 1 }, 2*time.Minute, 50*time.Millisecond)
	require.Positive(t, read("container_cpu_usage_seconds_total"))
	require.Positive(t, read("container_cpu_cfs_throttled_seconds_total"))
	require.Eventually(t, func() bool { return read("container_memory_usage_bytes") > 0 }, 2*time.Minute, 50*time.Millisecond)
	require.Equal(t, 10_000.0, read("container_spec_cpu_quota"))
	require.Equal(t, 33_554_432.0, read("container_spec_memory_limit_bytes"))
	require.InDelta(t, float64(time.Now().Unix()), read("container_start_time_seconds"), 60)
}
