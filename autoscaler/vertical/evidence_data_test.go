package vertical_test

import (
	"archive/tar"
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/ulikunitz/xz"

	"github.com/yagura-dev/yagura/autoscaler/replay"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// dataSet is the measured usage of one resource of some containers.
type dataSet struct {
	name     string
	resource vertical.Resource
	series   [][]replay.Sample
	// auto is what Auto must not be above.
	auto replay.Totals
}

func (d dataSet) title() string { return fmt.Sprintf("%s, %d series", d.name, len(d.series)) }

// warmup is a day, or a fifth of the longest series where that is shorter.
func (d dataSet) warmup() time.Duration {
	longest := time.Duration(0)
	for _, s := range d.series {
		longest = max(longest, s[len(s)-1].Time.Sub(s[0].Time))
	}
	return min(24*time.Hour, longest/5)
}

func dataSets(t *testing.T) []dataSet {
	machines := dataSet{"CPU of virtual machines (NAB)", vertical.CPU, nab(t), replay.Totals{Slack: 0.23, OverRequest: 0.0205}}
	if raceEnabled {
		// Models know nothing of each other, so one set finds what all find; reading the others takes a minute.
		return []dataSet{machines}
	}
	cpu, memory := trainTicket(t)
	return []dataSet{
		machines,
		{"CPU per pod (Train Ticket)", vertical.CPU, cpu, replay.Totals{Slack: 0.59, OverRequest: 0.0345}},
		{"memory per pod (Train Ticket)", vertical.Memory, memory, replay.Totals{Slack: 0.23, OverRequest: 0, OOMs: 0}},
		{"load with seasons (crane)", vertical.CPU, crane(t), replay.Totals{Slack: 0.238, OverRequest: 0.015}},
	}
}

// sharedData finds a folder or file of public data beside the repository. In CI it must be there.
func sharedData(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join("../../../shared/data", name)
	if _, err := os.Stat(file); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no data to test on: %v", err)
		}
		t.Skipf("no data to test on: %v", err)
	}
	return file
}

// nab is the CPU of ten virtual machines in percent of 16 cores, every five minutes for two weeks.
func nab(t *testing.T) [][]replay.Sample {
	var all [][]replay.Sample
	for _, pattern := range []string{"ec2_cpu_utilization_*.csv", "rds_cpu_utilization_*.csv"} {
		files, err := filepath.Glob(filepath.Join(sharedData(t, "load/nab"), pattern))
		require.NoError(t, err)
		for _, file := range files {
			all = append(all, readFile(t, file, func(text string) (time.Time, error) { return time.Parse(time.DateTime, text) }, 0.16))
		}
	}
	require.Len(t, all, 10)
	return all
}

// crane is load with daily seasons, every minute for 8 to 16 days, each number taken for so many cores.
func crane(t *testing.T) [][]replay.Sample {
	files, err := filepath.Glob(filepath.Join(sharedData(t, "load/crane"), "input*.csv"))
	require.NoError(t, err)
	require.Len(t, files, 8)
	var all [][]replay.Sample
	for _, file := range files {
		all = append(all, readFile(t, file, func(text string) (time.Time, error) {
			seconds, err := strconv.ParseInt(text, 10, 64)
			return time.Unix(seconds, 0), err
		}, 1))
	}
	return all
}

// readFile reads rows of a time and a value as CPU usage.
func readFile(t *testing.T, file string, parse func(string) (time.Time, error), cores float64) []replay.Sample {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	s := samples{t: t, container: filepath.Base(file), resource: vertical.CPU}
	for row := range rows(t, f) {
		at, err := parse(row[0])
		require.NoError(t, err)
		s.add(at, row[1], cores)
	}
	return s.list
}

// samples collects one container's.
type samples struct {
	t         *testing.T
	container string
	resource  vertical.Resource
	list      []replay.Sample
	highest   float64
}

// add takes a value. One for a time that is not after the newest is left out: there are a few.
func (s *samples) add(at time.Time, text string, factor float64) {
	value, err := strconv.ParseFloat(text, 64)
	require.NoError(s.t, err)
	if n := len(s.list); n > 0 && !at.After(s.list[n-1].Time) {
		return
	}
	s.list = append(s.list, replay.Sample{Container: s.container, Resource: s.resource, Time: at, Usage: value * factor})
	s.highest = max(s.highest, value)
}

// rows are the rows of a CSV file without its first.
func rows(t *testing.T, in io.Reader) func(yield func([]string) bool) {
	r := csv.NewReader(in)
	return func(yield func([]string) bool) {
		for first := true; ; first = false {
			row, err := r.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			require.NoError(t, err)
			if !first && !yield(row) {
				return
			}
		}
	}
}

// trainTicket is what the pods of a system of microservices used, every minute for 15 hours. Three pods that never used any CPU, and
// so hold nothing that could be sized, are left out.
func trainTicket(t *testing.T) (cpu, memory [][]replay.Sample) {
	f, err := os.Open(sharedData(t, "correlated/train-ticket-2023-01-29.tar.xz"))
	require.NoError(t, err)
	defer f.Close()
	unpacked, err := xz.NewReader(bufio.NewReaderSize(f, 1<<20))
	require.NoError(t, err)
	archive := tar.NewReader(unpacked)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if path.Base(path.Dir(h.Name)) != "metric" || !strings.HasSuffix(h.Name, "_metric.csv") {
			continue
		}
		c := samples{t: t, container: path.Base(h.Name), resource: vertical.CPU}
		m := samples{t: t, container: c.container, resource: vertical.Memory}
		for row := range rows(t, archive) {
			seconds, err := strconv.ParseInt(row[1], 10, 64)
			require.NoError(t, err)
			c.add(time.Unix(seconds, 0), row[3], 0.001)
			m.add(time.Unix(seconds, 0), row[5], 1<<20)
		}
		if c.highest == 0 {
			continue
		}
		cpu, memory = append(cpu, c.list), append(memory, m.list)
	}
	require.Len(t, cpu, 43)
	return cpu, memory
}
