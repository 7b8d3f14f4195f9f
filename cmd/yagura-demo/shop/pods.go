package shop

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// Pod is what a replica takes over from the pod it stands for.
type Pod struct {
	Namespace, Name, Node string
}

// serviceLabel names the service that a pod belongs to.
const serviceLabel = "app.kubernetes.io/name"

// The annotation that kwok's simulated kubelet reads a pod's CPU usage from, and
// how often we write it when it changed.
const (
	usageCPU    = "kwok.x-k8s.io/usage-cpu"
	usagePeriod = 2 * time.Second
)

// followPods keeps one replica for each ready pod until ctx is done.
func (s *Shop) followPods(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(s.cfg.Client, 0,
		informers.WithNamespace(s.cfg.Namespace))
	pods := factory.Core().V1().Pods().Informer()
	_, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.observe(ctx, o) },
		UpdateFunc: func(_, o any) { s.observe(ctx, o) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if pod, ok := o.(*corev1.Pod); ok {
				s.remove(pod)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch pods in %s: %w", s.cfg.Namespace, err)
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()
	return nil
}

func (s *Shop) observe(ctx context.Context, o any) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	if ready(pod) {
		s.add(ctx, pod)
	} else {
		s.remove(pod)
	}
}

func ready(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (s *Shop) add(ctx context.Context, pod *corev1.Pod) {
	d, ok := s.services[pod.Labels[serviceLabel]]
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.replicas[pod.Name]; ok {
		return
	}
	id := Pod{Namespace: pod.Namespace, Name: pod.Name, Node: pod.Spec.NodeName}
	tel, err := newTelemetry(ctx, d.conn, id, d.spec.Name)
	if err != nil {
		s.cfg.Logger.Error("replica not started", "pod", pod.Name, "error", err)
		return
	}
	r, err := newReplica(ctx, d.spec, id, tel, s.Pick)
	if err != nil {
		s.cfg.Logger.Error("replica not started", "pod", pod.Name, "error", err)
		return
	}
	d.replicas[pod.Name] = r
}

func (s *Shop) remove(pod *corev1.Pod) {
	d, ok := s.services[pod.Labels[serviceLabel]]
	if !ok {
		return
	}
	d.mu.Lock()
	r, ok := d.replicas[pod.Name]
	delete(d.replicas, pod.Name)
	d.mu.Unlock()
	if ok {
		go s.drain(r)
	}
}

// reportCPU writes each replica's measured busy share onto its pod, from where
// kwok's simulated kubelet serves it as container_cpu_usage_seconds_total. That
// endpoint, scraped, is all that an autoscaler sees of it.
func (s *Shop) reportCPU(ctx context.Context) {
	ticker := time.NewTicker(usagePeriod)
	defer ticker.Stop()
	type last struct {
		busy  int64
		milli int64
	}
	seen := map[*Replica]last{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		next := map[*Replica]last{}
		for _, d := range s.services {
			if !d.spec.ReportCPU {
				continue
			}
			d.mu.Lock()
			for _, r := range d.replicas {
				next[r] = last{busy: r.busy.Load()}
			}
			d.mu.Unlock()
		}
		for r, now := range next {
			before, known := seen[r]
			share := float64(now.busy-before.busy) / float64(usagePeriod)
			now.milli = max(1, int64(share*r.service.CPUPerWorker*1000))
			if !known || now.milli != before.milli {
				if err := s.annotate(ctx, r.Pod, fmt.Sprintf("%dm", now.milli)); err != nil {
					s.cfg.Logger.Debug("usage not written", "pod", r.Pod.Name, "error", err)
					now.milli = before.milli
				}
			}
			next[r] = now
		}
		seen = next
	}
}

func (s *Shop) annotate(ctx context.Context, pod Pod, cpu string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{usageCPU: cpu}}})
	if err != nil {
		return fmt.Errorf("encode annotation: %w", err)
	}
	_, err = s.cfg.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("annotate pod %s: %w", pod.Name, err)
	}
	return nil
}
