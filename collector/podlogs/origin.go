package podlogs

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/yagura-dev/yagura/collector/kube"
)

// Metadata tells what the API server knows of a pod; *kube.Watcher does.
type Metadata interface {
	// Enabled says whether pods are ever found, so that it is worth to wait for one.
	Enabled() bool
	// PodByUID finds a pod by the UID that its log folder carries.
	PodByUID(uid string) (kube.Pod, bool)
}

// origin says whose lines are in a file, as far as its path tells.
type origin struct {
	// Of a container log.
	namespace, pod, uid, container, restarts string
	// Of a plain file.
	path, service string
}

func (o origin) plain() bool { return o.uid == "" }

// podFolder reads the name of a pod's log folder, <namespace>_<pod>_<uid>. None of
// the three may contain an underscore.
func podFolder(name string) (origin, bool) {
	parts := strings.Split(name, "_")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return origin{}, false
	}
	return origin{namespace: parts[0], pod: parts[1], uid: parts[2]}, true
}

// containerFile reads the name of a file in a container's log folder: <restarts>.log,
// or <restarts>.log.<time> after its rotation. Compressed ones are none.
func containerFile(name string) (restarts string, rotated, ok bool) {
	restarts, suffix, ok := strings.Cut(name, ".log")
	if !ok || restarts == "" || strings.Trim(restarts, "0123456789") != "" {
		return "", false, false
	}
	if suffix == "" {
		return restarts, false, true
	}
	stamp, ok := strings.CutPrefix(suffix, ".")
	// The kubelet compresses into a file that ends in .tmp.
	if !ok || stamp == "" || strings.Trim(stamp, "0123456789-") != "" {
		return "", false, false
	}
	return restarts, true, true
}

// compressed says whether a plain file is an archive by its name.
func compressed(path string) bool {
	switch filepath.Ext(path) {
	case ".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip", ".Z":
		return true
	}
	return false
}

// serviceLabel is the label by which a pod names the application it belongs to.
const serviceLabel = "app.kubernetes.io/name"

// resource is what the lines of a file have in common.
type resource struct {
	origin
	cluster, node, service string
	workload               kube.Workload
}

// workloadKeys are the attributes that name a workload, by its kind.
var workloadKeys = map[string]string{
	"Deployment":  "k8s.deployment.name",
	"StatefulSet": "k8s.statefulset.name",
	"DaemonSet":   "k8s.daemonset.name",
	"ReplicaSet":  "k8s.replicaset.name",
	"CronJob":     "k8s.cronjob.name",
	"Job":         "k8s.job.name",
}

// resourceOf completes an origin by configuration and metadata.
func resourceOf(o origin, config Config, metadata Metadata) resource {
	r := resource{origin: o, cluster: config.Cluster, node: config.Node, service: o.service}
	if o.plain() {
		if r.service == "" {
			r.service = filepath.Base(o.path)
		}
		return r
	}
	r.service = o.container
	if metadata == nil {
		return r
	}
	pod, ok := metadata.PodByUID(o.uid)
	if !ok {
		return r
	}
	r.uid = pod.UID // a static pod's folder carries another one
	r.workload = pod.Workload
	if r.node == "" {
		r.node = pod.Node
	}
	if name := pod.Labels[serviceLabel]; name != "" {
		r.service = name
	} else if pod.Workload.Name != "" {
		r.service = pod.Workload.Name
	}
	return r
}

// attributes writes the resource's OpenTelemetry attributes.
func (r resource) attributes(to pcommon.Map) {
	put := func(key, value string) {
		if value != "" {
			to.PutStr(key, value)
		}
	}
	put("service.name", r.service)
	put("k8s.cluster.name", r.cluster)
	put("k8s.node.name", r.node)
	if r.plain() {
		put("log.file.path", r.path)
		put("log.file.name", filepath.Base(r.path))
		return
	}
	put("k8s.namespace.name", r.namespace)
	put("k8s.pod.name", r.pod)
	put("k8s.pod.uid", r.uid)
	put("k8s.container.name", r.container)
	if key, ok := workloadKeys[r.workload.Kind]; ok {
		put(key, r.workload.Name)
	}
	if n, err := strconv.ParseInt(r.restarts, 10, 64); err == nil {
		to.PutInt("k8s.container.restart_count", n)
	}
}

// labels are the labels that the query service derives from the attributes.
func (r resource) labels(name string) labels.Labels {
	return labels.FromMap(map[string]string{
		model.MetricNameLabel: name,
		"service_name":        r.service,
		"cluster":             r.cluster,
		"namespace":           r.namespace,
		"pod":                 r.pod,
		"container":           r.container,
		"node":                r.node,
	}).WithoutEmpty()
}
