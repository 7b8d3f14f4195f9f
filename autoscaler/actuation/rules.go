package actuation

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// Annotations by which a pod says that it must not be taken away.
const (
	DoNotDisruptAnnotation = "yagura.dev/do-not-disrupt"
	SafeToEvictAnnotation  = "cluster-autoscaler.kubernetes.io/safe-to-evict"
)

// podRules are about the pod itself and need all of it; restartRules are those of them that hold although the pod stays.
var (
	podRules     = []func(*replacement) verdict{staticPod, undisturbed, jobPod, controlled}
	restartRules = []func(*replacement) verdict{staticPod, undisturbed, jobPod}
)

// budgetRules are about how much is missing and how much was done lately. The caller holds the workload's lock.
var budgetRules = []func(*replacement) verdict{singleReplica, maxUnavailable, interval, replacedLately, evictionRate}

func staticPod(r *replacement) verdict {
	if _, mirror := r.pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return verdict{"StaticPod", "the pod is a static pod of its node"}
	}
	if owner := controllerOf(r.pod); owner != nil && owner.Kind == "Node" {
		return verdict{"StaticPod", "the pod is a static pod of its node"}
	}
	return verdict{}
}

func undisturbed(r *replacement) verdict {
	if value, ok := r.pod.Annotations[DoNotDisruptAnnotation]; ok && value != "false" {
		return verdict{"DoNotDisrupt", fmt.Sprintf("the pod is annotated %s: %q", DoNotDisruptAnnotation, value)}
	}
	if r.pod.Annotations[SafeToEvictAnnotation] == "false" {
		return verdict{"DoNotDisrupt", fmt.Sprintf("the pod is annotated %s: \"false\"", SafeToEvictAnnotation)}
	}
	return verdict{}
}

func jobPod(r *replacement) verdict {
	if owner := controllerOf(r.pod); owner != nil && owner.Kind == "Job" {
		return verdict{"Job", "a Job's pod would lose its work"}
	}
	return verdict{}
}

func controlled(r *replacement) verdict {
	if controllerOf(r.pod) == nil {
		return verdict{"NoController", "the pod has no controller that would make another one"}
	}
	return verdict{}
}

func singleReplica(r *replacement) verdict {
	if r.surges() && recreatePolicy(r.t.Policy).SingleReplica == v1alpha1.SingleNever {
		return verdict{"SingleReplica", "the pod is the only replica, which the policy leaves alone"}
	}
	return verdict{}
}

// maxUnavailable counts what is missing, whoever took it away: pods that are not ready or not there against what the target asks
// for, and pods on their way out, so that a long grace period slows replacements down. A pod that does not serve anyway takes
// nothing away when it goes, so for it only those on their way out count: else two broken pods would keep each other from being
// repaired.
func maxUnavailable(r *replacement) verdict {
	if r.surges() {
		return verdict{} // the rollout sees to it
	}
	others, leaving := 0, 0
	for i := range r.t.Pods {
		pod := r.t.Pods[i].Object
		if pod.UID == r.pod.UID {
			continue
		}
		_, taken := r.w.taken[pod.UID]
		switch {
		case taken || pod.DeletionTimestamp != nil:
			leaving++
		case ready(pod):
			others++
		}
	}
	wanted := max(int(r.t.Replicas), 1)
	allowed := unavailableAllowed(recreatePolicy(r.t.Policy).MaxUnavailable, wanted)
	missing := leaving
	if ready(r.pod) {
		missing = max(missing, wanted-1-others)
	}
	if missing < allowed {
		return verdict{}
	}
	return verdict{"MaxUnavailable", fmt.Sprintf("%d of %d pods are missing or on their way out, and the policy allows %d", missing, wanted, allowed)}
}

// unavailableAllowed is a percentage rounded down, and never below one.
func unavailableAllowed(v *intstr.IntOrString, wanted int) int {
	if v == nil {
		return 1
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(v, wanted, false)
	if err != nil {
		return 1
	}
	return max(n, 1)
}

// interval keeps a distance between two replacements. When this process has been there for less than that, it takes pods that
// came or went for its predecessor's.
func interval(r *replacement) verdict {
	distance := recreateInterval(r.t.Policy)
	var last time.Time
	if n := len(r.w.replaced); n > 0 {
		last = r.w.replaced[n-1]
	}
	if r.now.Sub(r.x.started) < distance {
		for i := range r.t.Pods {
			last = latest(last, cameOrWent(r.t.Pods[i].Object))
		}
	}
	if last.IsZero() || r.now.Sub(last) >= distance {
		return verdict{}
	}
	return verdict{"Interval", fmt.Sprintf("a pod of the target was replaced %s, and the policy asks for %s in between", since(r.now, last), distance)}
}

func cameOrWent(pod *corev1.Pod) time.Time {
	at := pod.CreationTimestamp.Time
	if pod.DeletionTimestamp != nil {
		gone := pod.DeletionTimestamp.Time
		if grace := pod.DeletionGracePeriodSeconds; grace != nil {
			gone = gone.Add(-time.Duration(*grace) * time.Second)
		}
		at = latest(at, gone)
	}
	return at
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// replacedLately leaves a pod alone that replaced another one a short time ago: it did not get the size that a dry run promised,
// and the next one might not either.
func replacedLately(r *replacement) verdict {
	created := r.pod.CreationTimestamp.Time // in whole seconds
	if len(r.w.replaced) == 0 || r.w.replaced[0].Truncate(time.Second).After(created) || r.now.Sub(created) >= time.Duration(r.x.cfg.ReplacementRest) {
		return verdict{}
	}
	return verdict{"ReplacedLately", fmt.Sprintf("the pod is a replacement itself, made %s, without the size that it should have got", since(r.now, created))}
}

func evictionRate(r *replacement) verdict {
	if r.x.evictions.full(r.now) {
		return verdict{"EvictionRate", fmt.Sprintf("%d pods of the cluster were taken away within a minute, and no more may be", r.x.cfg.EvictionsPerMinute)}
	}
	return verdict{}
}
