package disruption

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// guard is a PodDisruptionBudget with its selector read.
type guard struct {
	pdb      *policyv1.PodDisruptionBudget
	selector labels.Selector
	err      error
}

func guards(pdbs []*policyv1.PodDisruptionBudget) map[string][]guard {
	byNamespace := make(map[string][]guard)
	for _, pdb := range pdbs {
		if pdb == nil {
			continue
		}
		// As the API server reads it: no selector matches nothing, an empty one everything.
		selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
		byNamespace[pdb.Namespace] = append(byNamespace[pdb.Namespace], guard{pdb: pdb, selector: selector, err: err})
	}
	return byNamespace
}

// found are the PodDisruptionBudgets that count for the pod, or an error for the first that cannot be read.
func (s *subject) found() ([]*policyv1.PodDisruptionBudget, error) {
	if s.looked {
		return s.budgets, s.unreadable
	}
	s.looked = true
	for _, g := range s.world.guards[s.pod.Namespace] {
		if g.err != nil {
			s.budgets, s.unreadable = nil, fmt.Errorf("the PodDisruptionBudget %s has a selector that cannot be read: %w", g.pdb.Name, g.err)
			break
		}
		if g.selector.Matches(labels.Set(s.pod.Labels)) {
			s.budgets = append(s.budgets, g.pdb)
		}
	}
	return s.budgets, s.unreadable
}

// unbudgeted pods are evicted by the API server without a look at budgets: they do not run.
func unbudgeted(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodPending
}

// budgetCount refuses what the eviction API refuses for good: it serves pods of at most one PodDisruptionBudget.
func budgetCount(s *subject) (PodVerdict, bool) {
	if unbudgeted(s.pod) {
		return PodVerdict{}, false
	}
	found, err := s.found()
	switch {
	case err != nil:
		return blocks("PDBUnreadable", "%v", err)
	case len(found) > 1:
		return blocks("PDBSeveral", "has %d PodDisruptionBudgets, %s and %s among them, and the eviction API refuses such pods", len(found), found[0].Name, found[1].Name)
	}
	return PodVerdict{}, false
}

// budget is whether the pod's PodDisruptionBudget allows an eviction now, and if not whether it ever will.
func budget(s *subject) (PodVerdict, bool) {
	if unbudgeted(s.pod) {
		return PodVerdict{}, false
	}
	found, _ := s.found()
	if len(found) != 1 {
		return PodVerdict{}, false
	}
	pdb, status := found[0], &found[0].Status
	switch {
	case never(pdb):
		return blocks("PDBNever", "has the PodDisruptionBudget %s, which never allows an eviction", pdb.Name)
	case status.ObservedGeneration < pdb.Generation:
		return blocksNow("PDBNotSeen", "has the PodDisruptionBudget %s, which its controller has not looked at yet", pdb.Name)
	case !podReady(s.pod) && evictableUnready(pdb):
		return PodVerdict{}, false
	case status.DisruptionsAllowed <= 0:
		return blocksNow("PDBExhausted", "has the PodDisruptionBudget %s, which allows no eviction now: %d of %d pods are healthy and %d must be",
			pdb.Name, status.CurrentHealthy, status.ExpectedPods, status.DesiredHealthy)
	}
	return PodVerdict{}, false
}

// evictableUnready is the eviction API's rule for pods that run and are not ready.
func evictableUnready(pdb *policyv1.PodDisruptionBudget) bool {
	if p := pdb.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return true
	}
	return pdb.Status.DesiredHealthy > 0 && pdb.Status.CurrentHealthy >= pdb.Status.DesiredHealthy
}

// never is true for a budget that could not allow an eviction with all of its pods healthy.
func never(pdb *policyv1.PodDisruptionBudget) bool {
	if m := pdb.Spec.MaxUnavailable; m != nil {
		return isZero(m.String())
	}
	if m := pdb.Spec.MinAvailable; m != nil && m.String() == "100%" {
		return true
	}
	status := &pdb.Status
	return status.ExpectedPods > 0 && status.ObservedGeneration >= pdb.Generation && status.DesiredHealthy >= status.ExpectedPods
}

func isZero(text string) bool { return text == "0" || text == "0%" }

func podReady(pod *corev1.Pod) bool {
	c := condition(pod, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

func condition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == kind {
			return c
		}
	}
	return nil
}
