package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// TemplateHash is a fingerprint of what a policy's nodes are made from: the template and the requirements. The order of labels does
// not matter, that of taints and requirements does. It is 16 hexadecimal digits, the beginning of SHA-256 over their JSON.
func (p *NodePolicy) TemplateHash() (string, error) {
	text, err := json.Marshal(struct {
		Template     NodeTemplate
		Requirements []corev1.NodeSelectorRequirement
	}{p.Spec.Template, p.Spec.Requirements})
	if err != nil {
		return "", fmt.Errorf("encode the template of NodePolicy %s: %w", p.Name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}
