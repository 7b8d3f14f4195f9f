package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/fleet"
)

// nodeFacts is what is known of one node. What is not known is nil.
type nodeFacts struct {
	name  string
	node  *corev1.Node
	claim *v1alpha1.NodeClaim
	pods  []corev1.Pod
	// view is the autoscaler's, nil without --query-url.
	view *fleet.NodeView
}

// readNode finds a node and its claim, by the name of either.
func readNode(ctx context.Context, reader client.Reader, name string) (nodeFacts, error) {
	f := nodeFacts{name: name}
	var claims v1alpha1.NodeClaimList
	if err := reader.List(ctx, &claims); err != nil {
		return f, fmt.Errorf("list NodeClaims (does the cluster have Yagura's definitions?): %w", err)
	}
	for i := range claims.Items {
		if c := &claims.Items[i]; c.Name == name || c.Status.NodeName == name {
			f.claim = c
			if c.Status.NodeName != "" {
				f.name = c.Status.NodeName
			}
		}
	}
	var node corev1.Node
	err := reader.Get(ctx, client.ObjectKey{Name: f.name}, &node)
	switch {
	case err == nil:
		f.node = &node
	case !apierrors.IsNotFound(err):
		return f, fmt.Errorf("read node %s: %w", f.name, err)
	case f.claim == nil:
		return f, fmt.Errorf("there is neither a node nor a NodeClaim named %s", name)
	default:
		return f, nil
	}
	var pods corev1.PodList
	if err := reader.List(ctx, &pods, client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("spec.nodeName", f.name)}); err != nil {
		return f, fmt.Errorf("list the pods of node %s: %w", f.name, err)
	}
	f.pods = pods.Items
	return f, nil
}

// find takes the node out of what the autoscaler says of all.
func (f *nodeFacts) find(view *fleet.View) {
	for i := range view.Nodes {
		n := &view.Nodes[i]
		if n.Name == f.name || (f.claim != nil && n.Claim == f.claim.Name) {
			f.view = n
		}
	}
}

// explainNode says what a node is, why it is there and why it stays.
func explainNode(f nodeFacts, now time.Time) string {
	p := &prose{now: now}
	if f.node == nil {
		p.line(0, "Node %s is not there yet.", f.name)
	} else {
		p.line(0, "Node %s is %s; it came %s.", f.name, readiness(f.node), p.ago(&f.node.CreationTimestamp))
	}
	p.claim(f.claim)
	p.stay(f)
	if f.node != nil {
		p.usage(f.node, f.pods)
	}
	return p.String()
}

func readiness(node *corev1.Node) string {
	text := "not ready"
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			text = "ready"
		}
	}
	if node.Spec.Unschedulable {
		text += " and cordoned"
	}
	return text
}

func (p *prose) claim(c *v1alpha1.NodeClaim) {
	p.line(0, "")
	if c == nil {
		p.line(0, "No policy made it: it has no NodeClaim, so it is planned with and never taken away.")
		return
	}
	o := c.Spec.Offer
	p.line(0, "It was bought under policy %s as claim %s: %s%s, %.4g an hour.", c.Spec.Policy, c.Name, o.Name, place(o), o.PricePerHour.AsApproximateFloat64())
	p.line(1, "Why: %s", sentence(c.Spec.Reason, "no reason was recorded."))
	if len(c.Spec.Replaces) > 0 {
		p.line(1, "It replaces %s.", strings.Join(c.Spec.Replaces, ", "))
	}
	p.line(1, "Phase %s", sentence(phase(c.Status.Phase)+because(c.Status.Message), ""))
	for _, r := range c.Status.Repairs {
		p.line(1, "- %s", sentence(fmt.Sprintf("%s was tried %s because of %s%s", r.Step, p.ago(&r.At), r.Rule, because(r.Message)), ""))
	}
}

func phase(at v1alpha1.NodeClaimPhase) string {
	if at == "" {
		return "unknown: no autoscaler has looked at it yet"
	}
	return string(at)
}

func place(o v1alpha1.ClaimedOffer) string {
	var text string
	if o.CapacityType != "" {
		text += ", " + o.CapacityType
	}
	if o.Zone != "" {
		text += " in " + o.Zone
	}
	return text
}

func (p *prose) stay(f nodeFacts) {
	p.line(0, "")
	if f.claim != nil && f.claim.Status.Disruption != nil {
		d := f.claim.Status.Disruption
		p.line(0, "It goes (%s): %s", d.Reason, sentence(d.Message, "no reason was recorded."))
		if len(d.Replacements) > 0 {
			p.line(1, "First %s must be ready.", strings.Join(d.Replacements, ", "))
		}
		return
	}
	switch {
	case f.view != nil:
		p.line(0, "Why it stays: %s (%s)", sentence(f.view.Stay.Message, "nothing was decided yet."), f.view.Stay.Code)
		for _, v := range f.view.Stay.Verdicts {
			said := "lets it go"
			if v.Stays {
				said = "keeps it"
			}
			p.line(1, "- %s %s: %s", v.Rule, said, sentence(v.Message, v.Code))
		}
	case f.claim != nil && f.claim.Status.Stay != "":
		p.line(0, "Why it stays: %s", sentence(f.claim.Status.Stay, ""))
	case f.node == nil:
		p.line(0, "It has to come before anything can be said of its staying.")
	default:
		p.line(0, "Why it stays is not in its claim; --query-url asks the autoscaler.")
	}
}

// usage says how full the node is, by requests.
func (p *prose) usage(node *corev1.Node, pods []corev1.Pod) {
	running := slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool {
		return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	})
	p.line(0, "")
	p.line(0, "Its %d pods request %s.", len(running), strings.Join([]string{
		share(node, running, corev1.ResourceCPU), share(node, running, corev1.ResourceMemory)}, " and "))
}

func share(node *corev1.Node, pods []corev1.Pod, name corev1.ResourceName) string {
	var sum resource.Quantity
	for i := range pods {
		sum.Add(podRequest(&pods[i], name))
	}
	all := node.Status.Allocatable[name]
	if all.IsZero() {
		return fmt.Sprintf("%s of an unknown amount of %s", sum.String(), name)
	}
	return fmt.Sprintf("%s of %s %s (%.0f%%)", sum.String(), all.String(), name, 100*sum.AsApproximateFloat64()/all.AsApproximateFloat64())
}
