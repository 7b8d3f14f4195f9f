package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// TemplateHash is a fingerprint of what a policy's nodes are made from: the template. Requirements choose between nodes and shape none:
// whether a node still fulfils them is seen from the node. The order of labels and taints does not matter. It is 16 hexadecimal digits,
// the beginning of SHA-256 over the template's JSON.
func (p *NodePolicy) TemplateHash() (string, error) {
	t := p.Spec.Template
	t.Taints, t.StartupTaints = ordered(t.Taints), ordered(t.StartupTaints)
	text, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("encode the template of NodePolicy %s: %w", p.Name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// ordered are taints in one order, without the times at which they were put somewhere.
func ordered(in []corev1.Taint) []corev1.Taint {
	out := slices.Clone(in)
	for i := range out {
		out[i].TimeAdded = nil
	}
	slices.SortFunc(out, func(a, b corev1.Taint) int { return strings.Compare(a.ToString(), b.ToString()) })
	return out
}
