package drain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ask has a pod leave by the way that its owner can bear.
func (s *session) ask(ctx context.Context, l *leaver) {
	how, why, err := s.way(ctx, l)
	if err != nil {
		s.refused(l, "Failed", "what makes it could not be read: "+err.Error())
		return
	}
	switch how {
	case waits:
		s.refused(l, why.code, why.message)
	case surges:
		s.surge(ctx, l)
	case leaves:
		s.evict(ctx, l)
		if o := s.owners[ownerUID(l.Pod)]; o != nil && why.held && l.code != "Evicted" && l.code != "Gone" {
			o.here, o.ready = o.here+1, o.ready+1 // it stays, so another one may go in its place
		}
	}
}

// evict asks the API server to take a pod away. PodDisruptionBudgets and webhooks have their say.
func (s *session) evict(ctx context.Context, l *leaver) {
	options := &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &l.UID}}
	if deadline := s.plan.deadline(); !deadline.IsZero() {
		if left := deadline.Sub(s.now); left < grace(l.Pod) {
			options.GracePeriodSeconds = seconds(left)
		}
	}
	err := s.d.deps.Kube.PolicyV1().Evictions(l.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.Namespace, Name: l.Name}, DeleteOptions: options,
	})
	if err == nil {
		s.left(l, "Evicted", "it was evicted, and has room on "+s.places[l.name()])
		return
	}
	code, message := explain(err)
	if code == "Gone" {
		l.at(code, "%s", message)
		return
	}
	s.refused(l, code, message)
}

// rehearse asks the API server whether it would let every pod leave, without having any of them do so. Pods that a rollout replaces
// are not evicted.
func (s *session) rehearse(ctx context.Context, pods []*leaver) (all bool) {
	all = true
	for _, l := range pods {
		if s.now.Before(l.try.next) {
			l.at(l.try.code, "%s", l.try.message)
			all = false
			continue
		}
		if o, err := s.owner(ctx, l); err != nil {
			s.refused(l, "Failed", "what makes it could not be read: "+err.Error())
			all = false
			continue
		} else if o != nil && o.deployment != "" && o.wanted <= 1 {
			continue
		}
		err := s.d.deps.Kube.PolicyV1().Evictions(l.Namespace).Evict(ctx, &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Namespace: l.Namespace, Name: l.Name},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &l.UID}, DryRun: []string{metav1.DryRunAll}},
		})
		if err == nil {
			continue
		}
		if code, message := explain(err); code != "Gone" {
			s.refused(l, code, message)
			all = false
		}
	}
	return all
}

// explain sorts the answers of the Eviction API.
func explain(err error) (code, message string) {
	var status apierrors.APIStatus
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return "Gone", "it is gone"
	case apierrors.IsTooManyRequests(err):
		if errors.As(err, &status) && status.Status().Details != nil {
			for _, cause := range status.Status().Details.Causes {
				if cause.Type == policyv1.DisruptionBudgetCause {
					return "PodDisruptionBudget", cause.Message
				}
			}
		}
		return "TooManyRequests", "the API server has too much to do: " + err.Error()
	case moreThanOneBudget(err):
		return "BudgetMisconfigured", "more than one PodDisruptionBudget selects it, and the API server evicts no such pod: only one of them may"
	case apierrors.IsInternalError(err):
		return "Refused", "the API server, or a webhook that it asks, fails: " + err.Error()
	}
	return "Refused", "the eviction was refused: " + err.Error()
}

// end deletes a pod whose time is over, so that it has ended by the deadline.
func (s *session) end(ctx context.Context, l *leaver) {
	left := s.plan.deadline().Sub(s.now)
	err := s.d.deps.Kube.CoreV1().Pods(l.Namespace).Delete(ctx, l.Name, metav1.DeleteOptions{
		GracePeriodSeconds: seconds(min(left, grace(l.Pod))), Preconditions: &metav1.Preconditions{UID: &l.UID},
	})
	switch {
	case err == nil:
		s.left(l, "Ended", fmt.Sprintf("it was deleted, since the node's time is over at %s", s.plan.deadline().UTC().Format(time.RFC3339)))
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		l.at("Gone", "it is gone")
	default:
		s.refused(l, "Refused", "its deletion was refused: "+err.Error())
	}
}

// mustEnd says whether a pod has to be told to end now so that it has ended by the deadline.
func (s *session) mustEnd(l *leaver) bool {
	deadline := s.plan.deadline()
	return !deadline.IsZero() && !s.now.Before(deadline.Add(-grace(l.Pod)))
}

// seconds are at least one: a pod that is given none is forgotten before its node has stopped it.
func seconds(d time.Duration) *int64 {
	n := max(1, int64(d/time.Second))
	return &n
}

// left counts a pod that leaves.
func (s *session) left(l *leaver, code, message string) {
	s.memory.begun = true
	l.at(code, "%s", message)
	l.try.failures, l.try.code, l.try.message, l.try.evicted = 0, code, message, true
	l.try.next = s.now.Add(time.Duration(s.d.cfg.RetryInterval))
	s.d.deps.Metrics.evictions.WithLabelValues(string(s.plan.Reason), code).Inc()
	s.d.deps.Logger.Info("pod leaves its node", "namespace", l.Namespace, "pod", l.Name, "node", s.node.Name, "reason", s.plan.Reason, "how", code, "to", s.places[l.name()])
}

// refused puts off what could not be done.
func (s *session) refused(l *leaver, code, message string) {
	l.at(code, "%s", message)
	s.count(l)
	l.try.message = message
	wait := time.Duration(s.d.cfg.RetryInterval)
	for range min(l.try.failures, 16) {
		wait = min(2*wait, time.Duration(s.d.cfg.RetryLimit))
	}
	l.try.failures++
	l.try.next = s.now.Add(wait)
}

// moreThanOneBudget recognizes the one misconfiguration that the API server names in words only.
func moreThanOneBudget(err error) bool {
	return strings.Contains(err.Error(), "more than one PodDisruptionBudget")
}
