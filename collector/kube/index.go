package kube

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// index holds the pods and finds them by what their cgroups, files and
// connections carry. It is the store of a reflector, so that no second copy of
// the pods exists. It is safe for concurrent use.
type index struct {
	clock  clock.PassiveClock
	retain time.Duration

	mu          sync.RWMutex
	pods        map[string]*Pod // by namespace/name
	byUID       map[string]*Pod
	byContainer map[string]*Pod
	byIP        map[netip.Addr]*Pod
	deleted     []deletedPod // oldest first
	synced      bool
}

// deletedPod is a pod whose last lines, spans and counters may still arrive.
type deletedPod struct {
	pod *Pod
	at  time.Time
}

var _ cache.TransformingStore = (*index)(nil)

func newIndex(c clock.PassiveClock, retain time.Duration) *index {
	return &index{
		clock:       c,
		retain:      retain,
		pods:        make(map[string]*Pod),
		byUID:       make(map[string]*Pod),
		byContainer: make(map[string]*Pod),
		byIP:        make(map[netip.Addr]*Pod),
	}
}

var errNotAPod = errors.New("not a pod")

// Add implements cache.ReflectorStore.
func (x *index) Add(object any) error { return x.put(object) }

// Update implements cache.ReflectorStore.
func (x *index) Update(object any) error { return x.put(object) }

// Delete implements cache.ReflectorStore. The pod stays findable by UID and
// container ID for the retention time, and no longer by its address.
func (x *index) Delete(object any) error {
	pod, err := asPod(object)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if known := x.pods[key(pod)]; known != nil && known.UID == string(pod.UID) {
		x.retire(known)
	}
	return nil
}

// Replace implements cache.ReflectorStore.
func (x *index) Replace(objects []any, _ string) error {
	pods := make(map[string]*corev1.Pod, len(objects))
	for _, object := range objects {
		pod, err := asPod(object)
		if err != nil {
			return err
		}
		pods[key(pod)] = pod
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, known := range x.pods {
		if pods[name] == nil {
			x.retire(known)
		}
	}
	for _, pod := range pods {
		x.set(newPod(pod))
	}
	x.synced = true
	return nil
}

// Resync implements cache.ReflectorStore; there is nothing to resync.
func (x *index) Resync() error { return nil }

// Transformer implements cache.TransformingStore: it strips a pod of what is not
// kept before a streaming list collects the pods of the node.
func (x *index) Transformer() cache.TransformFunc { return strip }

// strip drops the parts of a pod that newPod does not read. A pod's manifest is
// several kilobytes (managed fields above all), what is kept a few hundred bytes.
func strip(object any) (any, error) {
	if pod, ok := object.(*corev1.Pod); ok {
		pod.ManagedFields = nil
		pod.Spec = corev1.PodSpec{NodeName: pod.Spec.NodeName, HostNetwork: pod.Spec.HostNetwork}
		pod.Status.Conditions = nil
	}
	return object, nil
}

func asPod(object any) (*corev1.Pod, error) {
	switch o := object.(type) {
	case *corev1.Pod:
		return o, nil
	case cache.DeletedFinalStateUnknown:
		return asPod(o.Obj)
	}
	return nil, fmt.Errorf("%w: %T", errNotAPod, object)
}

func key(pod *corev1.Pod) string { return pod.Namespace + "/" + pod.Name }

func (x *index) put(object any) error {
	pod, err := asPod(object)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.set(newPod(pod))
	return nil
}

// set replaces the record of a pod. The caller holds the lock.
func (x *index) set(pod *Pod) {
	name := pod.Namespace + "/" + pod.Name
	if old := x.pods[name]; old != nil {
		if old.UID != pod.UID { // deleted and created again between two events
			x.retire(old)
		} else {
			x.forget(old)
		}
	}
	x.pods[name] = pod
	x.byUID[pod.UID] = pod
	if pod.runtimeUID != "" {
		x.byUID[pod.runtimeUID] = pod
	}
	for _, c := range pod.Containers {
		if c.ID != "" {
			x.byContainer[c.ID] = pod
		}
		if c.previousID != "" {
			x.byContainer[c.previousID] = pod
		}
	}
	for _, ip := range pod.ips {
		x.byIP[ip] = pod
	}
	x.purge()
}

// retire takes a pod out of the current ones and keeps it for late data. The
// caller holds the lock.
func (x *index) retire(pod *Pod) {
	delete(x.pods, pod.Namespace+"/"+pod.Name)
	for _, ip := range pod.ips {
		if x.byIP[ip] == pod {
			delete(x.byIP, ip)
		}
	}
	x.deleted = append(x.deleted, deletedPod{pod: pod, at: x.clock.Now()})
	x.purge()
}

// forget removes every way to find a pod. The caller holds the lock.
func (x *index) forget(pod *Pod) {
	remove(x.byUID, pod.UID, pod)
	remove(x.byUID, pod.runtimeUID, pod)
	for _, c := range pod.Containers {
		remove(x.byContainer, c.ID, pod)
		remove(x.byContainer, c.previousID, pod)
	}
	for _, ip := range pod.ips {
		remove(x.byIP, ip, pod)
	}
}

// remove deletes the entry only while it is this pod's.
func remove[K comparable](m map[K]*Pod, k K, pod *Pod) {
	if m[k] == pod {
		delete(m, k)
	}
}

// purge forgets the deleted pods whose time is over. The caller holds the lock.
func (x *index) purge() {
	limit := x.clock.Now().Add(-x.retain)
	n := 0
	for n < len(x.deleted) && !x.deleted[n].at.After(limit) {
		x.forget(x.deleted[n].pod)
		n++
	}
	if n > 0 {
		x.deleted = append([]deletedPod(nil), x.deleted[n:]...)
	}
}

func (x *index) purgeNow() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.purge()
}

func (x *index) podByUID(uid string) (Pod, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return found(x.byUID[uid])
}

func (x *index) podByIP(ip netip.Addr) (Pod, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return found(x.byIP[ip.Unmap()])
}

func (x *index) containerByID(id string) (Pod, Container, bool) {
	id = bareID(id)
	if id == "" {
		return Pod{}, Container{}, false
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	pod := x.byContainer[id]
	if pod == nil {
		return Pod{}, Container{}, false
	}
	for _, c := range pod.Containers {
		if c.ID == id {
			return *pod, c, true
		}
	}
	for _, c := range pod.Containers {
		if c.previousID == id {
			c.Started = time.Time{} // of the run that is over nothing but its name is known
			return *pod, c, true
		}
	}
	return Pod{}, Container{}, false
}

func found(pod *Pod) (Pod, bool) {
	if pod == nil {
		return Pod{}, false
	}
	return *pod, true
}

func (x *index) size() (pods int, synced bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.pods), x.synced
}

// Descriptions of the index's own metrics.
var (
	descPods = prometheus.NewDesc("yagura_kube_pods",
		"Pods of this node in the index.", nil, nil)
	descSynced = prometheus.NewDesc("yagura_kube_synced",
		"1 once the pods of this node were listed, else 0.", nil, nil)
)

// Describe implements prometheus.Collector.
func (x *index) Describe(ch chan<- *prometheus.Desc) {
	ch <- descPods
	ch <- descSynced
}

// Collect implements prometheus.Collector.
func (x *index) Collect(ch chan<- prometheus.Metric) {
	pods, synced := x.size()
	value := 0.0
	if synced {
		value = 1
	}
	ch <- prometheus.MustNewConstMetric(descPods, prometheus.GaugeValue, float64(pods))
	ch <- prometheus.MustNewConstMetric(descSynced, prometheus.GaugeValue, value)
}
