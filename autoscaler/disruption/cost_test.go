package disruption_test

import (
	"math"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

func TestWeight(t *testing.T) {
	priority := func(n int32) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.Priority = &n } }
	started := func(ago, ready time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			start := metav1.NewTime(noon.Add(-ago))
			p.Status.StartTime, p.Status.Conditions[0].LastTransitionTime = &start, metav1.NewTime(start.Add(ready))
		}
	}
	disk := corev1.Volume{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
	memory := corev1.Volume{Name: "shm", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}}
	path := corev1.Volume{Name: "logs", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/log"}}}
	for name, test := range map[string]struct {
		pod      *corev1.Pod
		replicas int
		want     float64
	}{
		"a plain pod":                         {podOf(), 3, 1},
		"one that stays with its node":        {podOf(ownedBy("DaemonSet")), 3, 0},
		"priority":                            {podOf(priority(1 << 25)), 3, 2},
		"a system pod is bounded":             {podOf(priority(2_000_001_000)), 3, 20},
		"a negative priority is bounded":      {podOf(priority(math.MinInt32)), 3, 0.1},
		"deletion cost":                       {podOf(annotated(corev1.PodDeletionCost, "134217728")), 3, 2},
		"a deletion cost that is no number":   {podOf(annotated(corev1.PodDeletionCost, "much")), 3, 1},
		"data on disk":                        {podOf(volumes(disk)), 3, 3},
		"a path of the node":                  {podOf(volumes(path)), 3, 3},
		"data in memory":                      {podOf(volumes(memory)), 3, 1},
		"data that may be lost":               {podOf(volumes(disk, path), annotated(disruption.SafeToEvictVolumes, "logs, cache")), 3, 1},
		"data of which some may be lost":      {podOf(volumes(disk, path), annotated(disruption.SafeToEvictVolumes, "cache")), 3, 3},
		"the only replica":                    {podOf(), 1, 2},
		"the only replica of a StatefulSet":   {podOf(ownedBy("StatefulSet")), 1, 6},
		"ready after ten minutes":             {podOf(started(24*time.Hour, 10*time.Minute)), 3, 6},
		"a start-up that lasts for ever":      {podOf(started(24*time.Hour, 20*time.Hour)), 3, 9},
		"started half an hour ago":            {podOf(started(30*time.Minute, 0)), 3, 2},
		"started in the future, by its clock": {podOf(started(-time.Hour, 0)), 3, 3},
		"not ready":                           {podOf(unready), 3, 0.25},
	} {
		t.Run(name, func(t *testing.T) {
			in := disruption.NewInspector(disruption.World{Now: noon, Replicas: func(string) int { return test.replicas }})
			if got := in.Weight(test.pod); math.Abs(got-test.want) > 0.001 {
				t.Errorf("weight %.3f, want %.3f", got, test.want)
			}
		})
	}
}

func TestCostIsInTheUnitOfPrices(t *testing.T) {
	// Ten nodes at 2.00 with ten pods each: a pod costs 0.20 an hour. Moving half a node's pods must save more than half of what
	// they cost within an hour, or an eighth of that when the saving is counted on for four hours.
	podHour := disruption.PodHour(20, 100)
	if got := disruption.Cost(5, podHour, time.Hour); math.Abs(got-0.5) > 1e-9 {
		t.Errorf("%.3f over an hour", got)
	}
	if got := disruption.Cost(5, podHour, 4*time.Hour); math.Abs(got-0.125) > 1e-9 {
		t.Errorf("%.3f over four hours", got)
	}
	if disruption.PodHour(20, 0) != 0 || disruption.Cost(5, 0, time.Hour) != 0 || disruption.Cost(5, podHour, 0) != disruption.Cost(5, podHour, time.Hour) {
		t.Error("what is unknown costs nothing, and the horizon has a default")
	}
}
