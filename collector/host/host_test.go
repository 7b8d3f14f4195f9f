package host

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/yagura-dev/yagura/collector/kube"
	"github.com/yagura-dev/yagura/collector/queue"
	"github.com/yagura-dev/yagura/collector/sample"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink keeps what it is given, decoded.
type sink struct {
	mu      sync.Mutex
	samples []sample.Sample
	batches int
	err     error
}

func (s *sink) Append(_ context.Context, stream queue.Stream, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if stream != queue.Metrics {
		return fmt.Errorf("stream %s", stream)
	}
	proto, err := s2.Decode(nil, payload)
	if err != nil {
		return err
	}
	var request writev2.Request
	if err := request.Unmarshal(proto); err != nil {
		return err
	}
	builder := labels.NewScratchBuilder(8)
	for _, series := range request.Timeseries {
		l, err := series.ToLabels(&builder, request.Symbols)
		if err != nil {
			return err
		}
		for _, v := range series.Samples {
			s.samples = append(s.samples, sample.Sample{Labels: l, Timestamp: v.Timestamp, Value: v.Value})
		}
	}
	s.batches++
	return nil
}

// take returns the samples since the last call, as text.
func (s *sink) take() map[string]float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := make(map[string]float64, len(s.samples))
	for _, v := range s.samples {
		values[v.Labels.String()] = v.Value
	}
	s.samples = nil
	return values
}

func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// pods answers lookups from maps.
type pods struct {
	byUID      map[string]kube.Pod
	containers map[string]kube.Container
}

func (p pods) Enabled() bool { return true }

func (p pods) PodByUID(uid string) (kube.Pod, bool) {
	pod, ok := p.byUID[uid]
	return pod, ok
}

func (p pods) ContainerByID(id string) (kube.Pod, kube.Container, bool) {
	c, ok := p.containers[id]
	if !ok {
		return kube.Pod{}, kube.Container{}, false
	}
	for _, pod := range p.byUID {
		return pod, c, true
	}
	return kube.Pod{}, kube.Container{}, false
}

const (
	testUID = "0f4a1c1e-2b5d-4f6e-9a77-3c1d2e4f5a6b"
	idA     = "a3f1c2d4e5b60718293a4b5c6d7e8f90a3f1c2d4e5b60718293a4b5c6d7e8f90"
	idB     = "b3f1c2d4e5b60718293a4b5c6d7e8f90a3f1c2d4e5b60718293a4b5c6d7e8f90"
)

func write(t testing.TB, folder string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
}

// containerFiles are the files of a cgroup of version 2.
func containerFiles(path string, seconds int) map[string]string {
	return map[string]string{
		path + "/cpu.stat": fmt.Sprintf("usage_usec %d\nuser_usec %d\nsystem_usec %d\nnr_periods 10\nnr_throttled 4\nthrottled_usec 250000\n",
			seconds*1e6, seconds*6e5, seconds*4e5),
		path + "/cpu.max":         "50000 100000\n",
		path + "/cpu.weight":      "100\n",
		path + "/memory.current":  "1000000\n",
		path + "/memory.stat":     "anon 400000\nfile 500000\nkernel 9\nfile_mapped 2000\ninactive_file 300000\nactive_file 200000\npgfault 70\npgmajfault 2\n",
		path + "/memory.events":   "oom 2\noom_kill 1\n",
		path + "/memory.max":      "2000000\n",
		path + "/memory.peak":     "1200000\n",
		path + "/cpu.pressure":    "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n",
		path + "/memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		path + "/io.pressure":     "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		path + "/io.stat":         "8:16 rbytes=1 wbytes=2 rios=3 wios=4\n",
		path + "/pids.current":    "5\n",
		path + "/pids.max":        "max\n",
	}
}

// fixture is a node in a folder.
type fixture struct {
	folder string
	config Config
	sink   *sink
	clock  *clocktesting.FakeClock
	pods   pods
	reg    *prometheus.Registry
}

func newFixture(t testing.TB) *fixture {
	folder := t.TempDir()
	write(t, folder, map[string]string{
		"cgroup/cgroup.controllers": "cpu io memory pids\n",
		"proc/stat": "cpu  30 0 20 100 4 1 2 3 0 0\ncpu0 10 1 20 100 4 1 2 3 5 6\ncpu1 20 0 0 0 0 0 0 0 0 0\nintr 7 1 2\nctxt 8\n" +
			"btime 1700000000\nprocesses 9\nprocs_running 2\nprocs_blocked 1\nsoftirq 1 1\n",
		"proc/meminfo": "MemTotal:    1000 kB\nActive(anon):    10 kB\nHugePages_Total:   3\nStrange\n",
		"proc/vmstat":  "nr_free_pages 1\npgfault 5\noom_kill 2\n",
	})
	config := DefaultConfig()
	config.Proc, config.Sys = filepath.Join(folder, "proc"), filepath.Join(folder, "sys")
	config.Cgroup, config.Rootfs = filepath.Join(folder, "cgroup"), folder
	config.CgroupRoot = "/"
	require.NoError(t, os.MkdirAll(config.Sys, 0o755))
	return &fixture{
		folder: folder, config: config, sink: &sink{}, reg: prometheus.NewRegistry(),
		clock: clocktesting.NewFakeClock(time.Unix(1_800_000_000, 300_000_000)),
		pods: pods{
			byUID: map[string]kube.Pod{testUID: {
				UID: testUID, Namespace: "shop", Name: "checkout-1", Workload: kube.Workload{Kind: "Deployment", Name: "checkout"},
			}},
			containers: map[string]kube.Container{idA: {Name: "app", ID: idA, Image: "checkout:1", Started: time.Unix(1_799_999_000, 0)}},
		},
	}
}

func (f *fixture) collector(t testing.TB) *Collector {
	t.Helper()
	c, err := newCollector(f.config, Identity{Node: "n1", Cluster: "dev"}, f.pods, f.sink, slog.New(slog.DiscardHandler), f.reg, f.clock)
	require.NoError(t, err)
	return c
}

// lane returns the lane of some groups, to be driven tick by tick.
func (f *fixture) lane(t testing.TB, names ...string) *lane {
	t.Helper()
	l, err := f.collector(t).newLane(time.Second, names)
	require.NoError(t, err)
	t.Cleanup(l.close)
	return l
}

// tick reads once and returns the samples.
func (f *fixture) tick(l *lane) map[string]float64 {
	f.clock.Step(time.Second)
	l.collect(context.Background(), f.clock.Now())
	return f.sink.take()
}

// named returns the series of some metrics.
func named(values map[string]float64, names ...string) map[string]float64 {
	found := make(map[string]float64)
	for text, value := range values {
		for _, name := range names {
			if strings.Contains(text, `__name__="`+name+`"`) {
				found[text] = value
			}
		}
	}
	return found
}

const nodeLabels = `cluster="dev", %sinstance="n1", job="yagura-collector", %snode="n1"%s`

// series writes the text of a series with the labels that all have.
func series1(name, before, between, after string) string {
	return `{__name__="` + name + `", ` + fmt.Sprintf(nodeLabels, before, between, after) + `}`
}

func TestNodeSeries(t *testing.T) {
	f := newFixture(t)
	l := f.lane(t, groupCPU, groupMemory, groupVMStat, groupPressure)
	values := f.tick(l)
	require.Equal(t, 1.0, values[`{__name__="node_cpu_seconds_total", cluster="dev", cpu="0", instance="n1", job="yagura-collector", mode="idle", node="n1"}`])
	require.Equal(t, 0.06, values[`{__name__="node_cpu_guest_seconds_total", cluster="dev", cpu="0", instance="n1", job="yagura-collector", mode="nice", node="n1"}`])
	require.Len(t, named(values, "node_cpu_seconds_total"), 16)
	require.Equal(t, map[string]float64{
		series1("node_memory_MemTotal_bytes", "", "", ""):    1_024_000,
		series1("node_memory_Active_anon_bytes", "", "", ""): 10_240,
		series1("node_memory_HugePages_Total", "", "", ""):   3,
	}, named(values, "node_memory_MemTotal_bytes", "node_memory_Active_anon_bytes", "node_memory_HugePages_Total"))
	require.Equal(t, 2.0, values[series1("node_vmstat_oom_kill", "", "", "")])
	for text := range values {
		require.NotContains(t, text, "pressure", "this node has none")
	}
}

func TestProcessorTimeThatGoesBackIsHeld(t *testing.T) {
	f := newFixture(t)
	l := f.lane(t, groupCPU)
	idle := `{__name__="node_cpu_seconds_total", cluster="dev", cpu="0", instance="n1", job="yagura-collector", mode="idle", node="n1"}`
	stat := func(ticks int) {
		write(t, f.folder, map[string]string{"proc/stat": fmt.Sprintf("cpu0 0 0 0 %d 0 0 0 0 0 0\n", ticks)})
	}
	for _, step := range []struct{ kernel, want int }{
		{1000, 1000}, {1100, 1100}, {1099, 1100}, {1101, 1101},
		{50, 50}, // the processor was taken out and put in again
	} {
		stat(step.kernel)
		require.Equal(t, float64(step.want)/100, f.tick(l)[idle], "kernel says %d", step.kernel)
	}
}

func TestContainerSeries(t *testing.T) {
	f := newFixture(t)
	pod := "cgroup/kubepods/burstable/pod" + testUID
	write(t, f.folder, containerFiles(pod, 20))
	write(t, f.folder, containerFiles(pod+"/"+idA, 10))
	write(t, f.folder, map[string]string{"sys/dev/block/8:16/uevent": "MAJOR=8\nDEVNAME=sdb\n"})
	l := f.lane(t, groupContainerCPU, groupContainerMemory, groupContainerPressure, groupContainerIO, groupContainerSpec)
	values := f.tick(l)

	id := "/kubepods/burstable/pod" + testUID
	of := func(name, extra string) string {
		return fmt.Sprintf(`{__name__=%q, cluster="dev", container="app", %sid="%s/%s", image="checkout:1", instance="n1", `+
			`job="yagura-collector", name=%q, namespace="shop", node="n1", pod="checkout-1", workload="checkout", workload_kind="Deployment"}`,
			name, extra, id, idA, idA)
	}
	want := map[string]float64{
		of("container_cpu_usage_seconds_total", `cpu="total", `):    10,
		of("container_cpu_user_seconds_total", ""):                  6,
		of("container_cpu_system_seconds_total", ""):                4,
		of("container_cpu_cfs_periods_total", ""):                   10,
		of("container_cpu_cfs_throttled_periods_total", ""):         4,
		of("container_cpu_cfs_throttled_seconds_total", ""):         0.25,
		of("container_memory_usage_bytes", ""):                      1_000_000,
		of("container_memory_working_set_bytes", ""):                700_000,
		of("container_memory_rss", ""):                              400_000,
		of("container_memory_cache", ""):                            500_000,
		of("container_oom_events_total", ""):                        1,
		of("container_pressure_cpu_waiting_seconds_total", ""):      2,
		of("container_pressure_cpu_stalled_seconds_total", ""):      1,
		of("container_fs_reads_bytes_total", `device="/dev/sdb", `): 1,
		of("container_fs_writes_total", `device="/dev/sdb", `):      4,
		of("container_spec_cpu_quota", ""):                          50_000,
		of("container_spec_cpu_period", ""):                         100_000,
		of("container_spec_memory_limit_bytes", ""):                 2_000_000,
		of("container_memory_max_usage_bytes", ""):                  1_200_000,
		of("container_start_time_seconds", ""):                      1_799_999_000,
	}
	for text, value := range want {
		require.Contains(t, values, text)
		require.Equal(t, value, values[text], text)
	}
	faults := named(values, "container_memory_failures_total")
	require.Len(t, faults, 6, "4 of the container, 2 of its pod")
	// The pod as a whole, as cAdvisor has it: without container, image and name.
	require.Equal(t, 20.0, values[fmt.Sprintf(`{__name__="container_cpu_usage_seconds_total", cluster="dev", cpu="total", id=%q, `+
		`instance="n1", job="yagura-collector", namespace="shop", node="n1", pod="checkout-1", workload="checkout", workload_kind="Deployment"}`, id)])
}

func TestContainerIsHeldBackUntilItsPodIsKnown(t *testing.T) {
	f := newFixture(t)
	path := "cgroup/kubepods/pod" + testUID + "/" + idB
	write(t, f.folder, containerFiles(path, 1))
	l := f.lane(t, groupContainerCPU)
	usage := func() (found []string) {
		for text, value := range f.tick(l) {
			if strings.Contains(text, idB) && strings.Contains(text, "usage_seconds") {
				if sample.IsStale(value) {
					text = "stale " + text
				}
				found = append(found, text)
			}
		}
		slices.Sort(found)
		return found
	}
	require.Empty(t, usage())
	f.clock.Step(time.Duration(f.config.MetadataGrace))
	late := usage()
	require.Len(t, late, 1)
	require.Contains(t, late[0], `container="POD"`, "what the pod's status does not name is its sandbox")

	f.pods.containers[idB] = kube.Container{Name: "late", ID: idB, Image: "x"}
	renamed := usage()
	require.Len(t, renamed, 2)
	require.Contains(t, renamed[0], "stale ")
	require.Contains(t, renamed[0], `container="POD"`)
	require.Contains(t, renamed[1], `container="late"`)
}

func TestContainerThatEndsIsMarkedStaleOnceAndAlsoAfterAFullQueue(t *testing.T) {
	f := newFixture(t)
	path := "kubepods/pod" + testUID + "/" + idA
	write(t, f.folder, containerFiles("cgroup/"+path, 1))
	l := f.lane(t, groupContainerCPU, groupContainerIO)
	began := maps.Keys(f.tick(l))
	var of []string
	for text := range began {
		if strings.Contains(text, idA) {
			of = append(of, text)
		}
	}
	require.Len(t, of, 10)

	require.NoError(t, os.RemoveAll(filepath.Join(f.folder, "cgroup", path)))
	f.sink.fail(queue.ErrFull)
	require.Empty(t, f.tick(l))
	require.Positive(t, testutil.ToFloat64(l.metrics.dropped.WithLabelValues("queue_full")))

	f.sink.fail(nil)
	after := f.tick(l)
	for _, text := range of {
		require.True(t, sample.IsStale(after[text]), text)
	}
	for text := range f.tick(l) {
		require.NotContains(t, text, idA, "ended once")
	}
}

func TestRunReadsOnAlignedTicks(t *testing.T) {
	f := newFixture(t)
	f.config.Groups = make(map[string]model.Duration)
	for name := range groups {
		if name != groupVMStat {
			f.config.Groups[name] = 0
		}
	}
	c := f.collector(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	var stamps []int64
	for len(stamps) < 3 {
		require.Eventually(t, f.clock.HasWaiters, 5*time.Second, time.Millisecond)
		f.clock.Step(100 * time.Millisecond)
		f.sink.mu.Lock()
		for _, s := range f.sink.samples {
			if !slices.Contains(stamps, s.Timestamp) {
				stamps = append(stamps, s.Timestamp)
			}
		}
		f.sink.mu.Unlock()
	}
	cancel()
	require.NoError(t, <-done)
	require.Equal(t, []int64{1_800_000_001_000, 1_800_000_002_000, 1_800_000_003_000}, stamps[:3])
}

func TestSchedule(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	require.Equal(t, at(15_000), nextTick(at(14_999), 15*time.Second))
	require.Equal(t, at(30_000), nextTick(at(15_000), 15*time.Second))
	require.Equal(t, at(1000), stamp(at(1000), at(1004)), "on time")
	require.Equal(t, at(1050), stamp(at(1000), at(1050)), "late")
	require.Equal(t, at(400), stamp(at(1000), at(400)), "the clock was set back")
	require.Equal(t, 0, skipped(at(1000), at(2000), time.Second))
	require.Equal(t, 3, skipped(at(1000), at(5000), time.Second))
	require.Equal(t, 0, skipped(at(5000), at(1000), time.Second), "the clock was set back")
}

func TestValidateNamesTheField(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"proc: is empty":             func(c *Config) { c.Proc = "" },
		"maxCgroups: 0 is less":      func(c *Config) { c.MaxCgroups = 0 },
		"decideInterval: 1ms is sho": func(c *Config) { c.DecideInterval = model.Duration(time.Millisecond) },
		"groups.gpu: no such group":  func(c *Config) { c.Groups = map[string]model.Duration{"gpu": 0} },
		"groups.cpu: 1ms is shorter": func(c *Config) { c.Groups = map[string]model.Duration{"cpu": model.Duration(time.Millisecond)} },
		"ignoreDisks: error parsing": func(c *Config) { c.IgnoreDisks = "(" },
		"metadataGrace: -1s is nega": func(c *Config) { c.MetadataGrace = model.Duration(-time.Second) },
	} {
		c := DefaultConfig()
		change(&c)
		require.ErrorContains(t, c.Validate(), want)
	}
	require.NoError(t, DefaultConfig().Validate())
}

func TestOwnRoot(t *testing.T) {
	for content, want := range map[string]string{
		"5:memory:/n1/kubepods/burstable/podx/y\n": "/n1",
		"5:memory:/kubepods/burstable/podx/y\n":    "/",
		"0::/\n":                                   "/",
		"0::/../../kubepods.slice/x\n":             "/",
		"1:cpu:/\n0::/a/b/kubepods.slice":          "/a/b",
	} {
		path := filepath.Join(t.TempDir(), "cgroup")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		require.Equal(t, want, ownRoot(path), content)
	}
	require.Equal(t, "/", ownRoot("/does/not/exist"))
}

// BenchmarkDecideTick reads what decides from 300 containers in 100 pods.
func BenchmarkDecideTick(b *testing.B) {
	f := newFixture(b)
	for i := range 100 {
		uid := fmt.Sprintf("%08d%s", i, testUID[8:])
		f.pods.byUID[uid] = f.pods.byUID[testUID]
		write(b, f.folder, containerFiles("cgroup/kubepods/pod"+uid, i))
		for j := range 3 {
			id := fmt.Sprintf("%04d%04d%s", i, j, idA[8:])
			f.pods.containers[id] = kube.Container{Name: "c", Image: "i"}
			write(b, f.folder, containerFiles("cgroup/kubepods/pod"+uid+"/"+id, i))
		}
	}
	l := f.lane(b, f.config.lanes()[time.Second]...)
	f.sink.err = queue.ErrFull // decoding is not what is measured
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		l.collect(ctx, time.Now())
	}
	samples := 0
	records, _ := l.writer.finish()
	for _, r := range records {
		samples += r.samples
	}
	b.ReportMetric(float64(samples), "samples/op")
}
