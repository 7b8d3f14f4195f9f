package usage

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/regexp"
	corev1 "k8s.io/api/core/v1"
)

// thrashing is the share of time in which tasks wait for memory from which on page cache that was used again counts as need: the
// kernel is then reading back what it gave up. Below, it counts in proportion.
const thrashing = 0.01

// labels by which series of one container are put together. The maximum drops doubles: two agents may measure one container, and a
// container that was started anew leaves its old series behind.
const byContainer = "max by (namespace, pod, container) "

// selector is what stands between braces: the containers of pods, neither the sums over a pod nor its sandbox.
type selector string

// podSelector selects pods by name.
func podSelector(namespaces, pods []string) selector {
	return patternSelector(alternatives(namespaces), alternatives(pods))
}

func patternSelector(namespaces, pods string) selector {
	return selector(fmt.Sprintf(`namespace=~%s,pod=~%s,container!="",container!="POD"`, strconv.Quote(namespaces), strconv.Quote(pods)))
}

func alternatives(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return strings.Join(quoted, "|")
}

func (s selector) series(metric string) string { return metric + "{" + string(s) + "}" }

func (s selector) over(metric string, window time.Duration) string {
	return s.series(metric) + "[" + promDuration(window) + "]"
}

// promDuration writes a duration for PromQL.
func promDuration(d time.Duration) string {
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

// cpu is the processor use in cores, averaged over the window.
func (s selector) cpu(window time.Duration) string {
	return byContainer + "(rate(" + s.over("container_cpu_usage_seconds_total", window) + "))"
}

// memory is the memory that a container needs, in bytes, at its highest within the window:
//
//	working set - (1 - pressure) * (active file - mapped file)
//
// The working set is what is in use without page cache that is given up first. Page cache that was used again (active file) is in it
// and could be given up as well, except for files mapped into the address space, such as the program itself. It counts as far as
// tasks wait for memory: pressure is the share of time in which one does (PSI "some"), as a fraction of 1%, at most 1. Where active
// file or PSI are not measured, the working set counts whole. The lowest cache of the window goes with the highest working set, so
// that what is left out was never needed.
func (s selector) memory(window time.Duration) string {
	workingSet := byContainer + "(max_over_time(" + s.over("container_memory_working_set_bytes", window) + "))"
	active := byContainer + "(min_over_time(" + s.over("container_memory_total_active_file_bytes", window) + "))"
	mapped := byContainer + "(max_over_time(" + s.over("container_memory_mapped_file", window) + "))"
	return fmt.Sprintf("((%s - (1 - clamp_max(%s / %g, 1)) * clamp_min(%s - %s, 0)) or %s)",
		workingSet, s.memoryPressure(window), thrashing, active, mapped, workingSet)
}

// memoryPressure and cpuPressure are the shares of time in which a task waited.
func (s selector) memoryPressure(window time.Duration) string {
	return byContainer + "(rate(" + s.over("container_pressure_memory_waiting_seconds_total", window) + "))"
}

func (s selector) cpuPressure(window time.Duration) string {
	return byContainer + "(rate(" + s.over("container_pressure_cpu_waiting_seconds_total", window) + "))"
}

// throttled is the share of CFS periods in which the quota was used up. Containers without a quota have none.
func (s selector) throttled(window time.Duration) string {
	return byContainer + "(rate(" + s.over("container_cpu_cfs_throttled_periods_total", window) + ")) / " +
		byContainer + "(rate(" + s.over("container_cpu_cfs_periods_total", window) + ") > 0)"
}

// age is how old the newest sample of a metric is, in seconds.
func (s selector) age(metric string) string {
	return "time() - " + byContainer + "(timestamp(" + s.series(metric) + "))"
}

// ephemeral is what a container wrote to its own layer, in bytes.
func (s selector) ephemeral(window time.Duration) string {
	return byContainer + "(max_over_time(" + s.over("container_fs_usage_bytes", window) + "))"
}

// hugePages is how much of huge pages of one size a container uses, in bytes.
func (s selector) hugePages(size string, window time.Duration) string {
	// cAdvisor writes 2MB for 2Mi.
	s = selector(fmt.Sprintf(`%s,pagesize=~%s`, s, strconv.Quote(size+"|"+strings.TrimSuffix(size, "i")+"B")))
	return byContainer + "(max_over_time(" + s.over("container_hugetlb_usage_bytes", window) + "))"
}

// usage is the query for a resource, and the metric whose age counts; false when the resource cannot be measured.
func (s selector) usage(resource corev1.ResourceName, window time.Duration) (query, metric string, ok bool) {
	switch {
	case resource == corev1.ResourceCPU:
		return s.cpu(window), "container_cpu_usage_seconds_total", true
	case resource == corev1.ResourceMemory:
		return s.memory(window), "container_memory_working_set_bytes", true
	case resource == corev1.ResourceEphemeralStorage:
		return s.ephemeral(window), "container_fs_usage_bytes", true
	case strings.HasPrefix(string(resource), corev1.ResourceHugePagesPrefix):
		return s.hugePages(strings.TrimPrefix(string(resource), corev1.ResourceHugePagesPrefix), window), "container_hugetlb_usage_bytes", true
	}
	return "", "", false
}
