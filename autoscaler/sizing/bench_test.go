package sizing

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// BenchmarkDecide decides on 10,000 containers in one go: 2,500 policies with two pods of two containers each.
func BenchmarkDecide(b *testing.B) {
	var scenes []*scene
	for i := range 2500 {
		s := newScene(web(), named("log", needs(list("cpu", "100m", "memory", "128Mi"), nil))).pods(2)
		s.fresh("web", corev1.ResourceCPU, 0.2+float64(i%7)/10).fresh("web", corev1.ResourceMemory, float64(300+i%900)*mi)
		s.fresh("log", corev1.ResourceCPU, 0.05).fresh("log", corev1.ResourceMemory, float64(60+i%90)*mi)
		s.in.Bounds.LargestNode = list("cpu", "16", "memory", "64Gi")
		scenes = append(scenes, s)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range scenes {
			s.decide()
		}
	}
}

// BenchmarkDecideLargeTarget decides on one target of 1,000 pods with ten containers each.
func BenchmarkDecideLargeTarget(b *testing.B) {
	var containers []corev1.Container
	for i := range 10 {
		containers = append(containers, named(fmt.Sprintf("c%d", i), needs(list("cpu", "500m", "memory", "1Gi"), list("memory", "2Gi"))))
	}
	s := newScene(containers...).pods(1000)
	for i := range 10 {
		s.fresh(fmt.Sprintf("c%d", i), corev1.ResourceCPU, 0.3).fresh(fmt.Sprintf("c%d", i), corev1.ResourceMemory, 700*mi)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.decide()
	}
}
