package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/fleet"
)

// podFacts is what is known of one pod.
type podFacts struct {
	pod *corev1.Pod
	// node is the one that it runs on, nil while it has none.
	node *nodeFacts
	// view is what the autoscaler says of a pod without a node, nil without --query-url and for others.
	view *fleet.PodView
	// coming are nodes that are being made.
	coming []fleet.NodeView
}

func readPod(ctx context.Context, reader client.Reader, namespace, name string) (podFacts, error) {
	var pod corev1.Pod
	if err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &pod); err != nil {
		return podFacts{}, fmt.Errorf("read pod %s/%s: %w", namespace, name, err)
	}
	f := podFacts{pod: &pod}
	if pod.Spec.NodeName == "" {
		return f, nil
	}
	node, err := readNode(ctx, reader, pod.Spec.NodeName)
	if err != nil {
		return f, err
	}
	f.node = &node
	return f, nil
}

// find takes the pod out of what the autoscaler says of those without a node.
func (f *podFacts) find(view *fleet.View) {
	for i := range view.Pending {
		if p := &view.Pending[i]; p.Namespace == f.pod.Namespace && p.Name == f.pod.Name {
			f.view = p
		}
	}
	for _, n := range view.Nodes {
		if !n.Ready && n.Claim != "" {
			f.coming = append(f.coming, n)
		}
	}
	if f.node != nil {
		f.node.find(view)
	}
}

// explainPod says where a pod is, or why it is nowhere.
func explainPod(f podFacts, now time.Time) string {
	p := &prose{now: now}
	pod := f.pod
	p.line(0, "Pod %s/%s requests %s.", pod.Namespace, pod.Name, quantities(podRequests(pod)))
	if f.node != nil {
		p.line(0, "It is on node %s.", pod.Spec.NodeName)
		p.line(0, "")
		p.WriteString(explainNode(*f.node, now))
		return p.String()
	}
	p.line(0, "It came %s and has no node.", p.ago(&pod.CreationTimestamp))
	for _, gate := range pod.Spec.SchedulingGates {
		p.line(1, "It waits behind the scheduling gate %s.", gate.Name)
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status != corev1.ConditionTrue {
			p.line(1, "The scheduler: %s", sentence(c.Message, c.Reason))
		}
	}
	p.line(0, "")
	p.pending(f)
	return p.String()
}

func (p *prose) pending(f podFacts) {
	switch {
	case f.view == nil:
		p.line(0, "The autoscaler says nothing of it; --query-url asks it.")
	case f.view.Node != "":
		p.line(0, "It will have room on %s", sentence(f.view.Node+because(strings.Join(f.view.Reasons, "; ")), ""))
		for _, n := range f.coming {
			if n.Name == f.view.Node || n.Claim == f.view.Node {
				p.line(1, "%s is %s: %s%s.", n.Name, strings.ToLower(n.Phase), n.Offer, in(n.Zone))
			}
		}
	default:
		p.line(0, "No node is bought for it:")
		for _, reason := range f.view.Reasons {
			p.line(1, "- %s", sentence(reason, ""))
		}
	}
}

func in(zone string) string {
	if zone == "" {
		return ""
	}
	return " in " + zone
}

// podRequests is what the scheduler counts for a pod.
func podRequests(pod *corev1.Pod) corev1.ResourceList {
	return resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{UseStatusResources: true})
}

func podRequest(pod *corev1.Pod, name corev1.ResourceName) resource.Quantity {
	return podRequests(pod)[name]
}
