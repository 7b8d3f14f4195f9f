package upgrade

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// Difference is one way in which a node is not as its policy says.
type Difference struct {
	// Code is a stable word: Version, Image, Template, Labels, Taints or Requirements.
	Code    string
	Message string
}

// differences are looked for in this order. A rule that has nothing to go by finds none: what is not known is no reason to renew.
var differences = [...]struct {
	code string
	find func(*template, *Node) string
}{
	{"Version", otherVersion},
	{"Image", otherImage},
	{"Template", otherTemplate},
	{"Labels", otherLabels},
	{"Taints", otherTaints},
	{"Requirements", otherRequirements},
}

// template is what a policy's nodes should be made from.
type template struct {
	v1alpha1.NodeTemplate
	hash         string
	requirements []requirement
}

type requirement struct {
	corev1.NodeSelectorRequirement
	selects *labels.Requirement
}

func newTemplate(p *v1alpha1.NodePolicy) (*template, error) {
	hash, err := p.TemplateHash()
	if err != nil {
		return nil, err
	}
	t := &template{NodeTemplate: p.Spec.Template, hash: hash}
	for _, r := range p.Spec.Requirements {
		op, ok := operators[r.Operator]
		if !ok {
			return nil, fmt.Errorf("requirement on %s: unknown operator %q", r.Key, r.Operator)
		}
		selects, err := labels.NewRequirement(r.Key, op, r.Values)
		if err != nil {
			return nil, fmt.Errorf("requirement on %s: %w", r.Key, err)
		}
		t.requirements = append(t.requirements, requirement{r, selects})
	}
	return t, nil
}

var operators = map[corev1.NodeSelectorOperator]selection.Operator{
	corev1.NodeSelectorOpIn: selection.In, corev1.NodeSelectorOpNotIn: selection.NotIn, corev1.NodeSelectorOpExists: selection.Exists,
	corev1.NodeSelectorOpDoesNotExist: selection.DoesNotExist, corev1.NodeSelectorOpGt: selection.GreaterThan, corev1.NodeSelectorOpLt: selection.LessThan,
}

// compare finds how a node differs. Nil means that it does not.
func (t *template) compare(n *Node) []Difference {
	var found []Difference
	for _, d := range differences {
		if text := d.find(t, n); text != "" {
			found = append(found, Difference{d.code, text})
		}
	}
	return found
}

// made reports whether the node was made from this very template. What the provider decides and is other all the same would be so for the
// next node too.
func (t *template) made(n *Node) bool {
	return t.hash != "" && n.Claim != nil && n.Claim.Spec.TemplateHash == t.hash
}

func otherVersion(t *template, n *Node) string {
	if has := n.kubelet(); t.Version != "" && has != "" && has != t.Version {
		return fmt.Sprintf("its kubelet is %s, not %s", has, t.Version)
	}
	return ""
}

// otherImage compares what was asked for: what a provider makes of a name is in terms of its own.
func otherImage(t *template, n *Node) string {
	if n.Claim != nil && t.Image != "" && n.Claim.Spec.Image != t.Image {
		return fmt.Sprintf("its image is %s, not %q", orNone(n.Claim.Spec.Image), t.Image)
	}
	return ""
}

func otherTemplate(t *template, n *Node) string {
	if n.Claim != nil && n.Claim.Spec.TemplateHash != "" && n.Claim.Spec.TemplateHash != t.hash {
		return "it was made from another template"
	}
	return ""
}

func otherLabels(t *template, n *Node) string {
	if n.Node == nil {
		return ""
	}
	first := ""
	for key, want := range t.Labels {
		// The first by name, so that the reason does not change with every look.
		if has, ok := n.Node.Labels[key]; (!ok || has != want) && (first == "" || key < first) {
			first = key
		}
	}
	if first == "" {
		return ""
	}
	return fmt.Sprintf("its label %s is %s, not %q", first, orNone(n.Node.Labels[first]), t.Labels[first])
}

func otherTaints(t *template, n *Node) string {
	if n.Node == nil {
		return ""
	}
	for i := range t.Taints {
		if !hasTaint(n.Node.Spec.Taints, &t.Taints[i]) {
			return "it lacks the taint " + t.Taints[i].ToString()
		}
	}
	return ""
}

func hasTaint(taints []corev1.Taint, want *corev1.Taint) bool {
	for i := range taints {
		if taints[i].MatchTaint(want) && taints[i].Value == want.Value {
			return true
		}
	}
	return false
}

// otherRequirements asks the requirements of the node's labels, and of what its offer promised where the node says nothing.
func otherRequirements(t *template, n *Node) string {
	for i := range t.requirements {
		r := &t.requirements[i]
		has := label{key: r.Key}
		has.value, has.known = n.label(r.Key)
		if !has.known && r.Operator != corev1.NodeSelectorOpNotIn && r.Operator != corev1.NodeSelectorOpDoesNotExist {
			continue
		}
		if !r.selects.Matches(has) {
			return fmt.Sprintf("its label %s is %s, and the policy requires %s %s", r.Key, orNone(has.value), r.Operator, strings.Join(r.Values, ", "))
		}
	}
	return ""
}

func (n *Node) label(key string) (string, bool) {
	if n.Node != nil {
		if v, ok := n.Node.Labels[key]; ok {
			return v, true
		}
	}
	if n.Claim == nil {
		return "", false
	}
	if v, ok := n.Claim.Spec.Labels[key]; ok {
		return v, true
	}
	offered := map[string]string{
		corev1.LabelInstanceTypeStable: n.Claim.Spec.Offer.Name, corev1.LabelTopologyZone: n.Claim.Spec.Offer.Zone,
		"karpenter.sh/capacity-type": n.Claim.Spec.Offer.CapacityType,
	}[key]
	return offered, offered != ""
}

// label is one label as a set of them.
type label struct {
	key, value string
	known      bool
}

func (l label) Has(key string) bool { return l.known && key == l.key }
func (l label) Get(key string) string {
	if key == l.key {
		return l.value
	}
	return ""
}
func (l label) Lookup(key string) (string, bool) { return l.Get(key), l.Has(key) }

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return fmt.Sprintf("%q", text)
}
