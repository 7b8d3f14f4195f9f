// Package host reads this node: processors, memory, pressure, file systems,
// disks and network from /proc and /sys, and every container from its cgroup.
//
// Series have the names and labels of node_exporter and cAdvisor where a name
// exists, so that dashboards made for those work unchanged. What decides about
// scaling (processor, memory, throttling, pressure, out-of-memory kills) is read
// every second and the rest every 15 seconds; each group's interval can be set.
//
// Series carry the labels node and cluster; job is always "yagura-collector" and
// instance is the node's name, because widely used dashboards select and join
// node series by job and instance.
//
// It imports collector/kube for the pods, collector/queue and collector/sample
// for the way out, and Prometheus' procfs. The commands import it.
package host
