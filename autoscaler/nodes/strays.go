package nodes

import (
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/claim"
)

// conditionAstray is True on the policies of a provider as long as something of it was found out of order and is left alone.
const conditionAstray = "Astray"

// strays takes in what a sweep has left alone: records and statuses tell it until it is in order again.
func (t *teller) strays(c *Controller, found []claim.Astray) {
	by := map[string][]string{}
	for _, a := range found {
		by[a.Provider] = append(by[a.Provider], a.Message)
	}
	for _, provider := range slices.Sorted(maps.Keys(by)) {
		slices.Sort(by[provider])
		if !slices.Equal(by[provider], t.astray[provider]) {
			c.deps.Logger.Warn("left alone", "provider", provider, "what", astrayText(by[provider]))
		}
	}
	t.astray = by
}

// maxStraysTold is how many of a provider's stray things are told in full.
const maxStraysTold = 3

func astrayText(found []string) string {
	text := ""
	for i, what := range found {
		if i == maxStraysTold {
			return text + fmt.Sprintf("; and %d more", len(found)-i)
		}
		if i > 0 {
			text += "; "
		}
		text += what
	}
	return text
}

// astrayCondition tells a policy of its provider's stray machines and claims, nil when there are none.
func (t *teller) astrayCondition(provider string) *metav1.Condition {
	found := t.astray[provider]
	if len(found) == 0 {
		return nil
	}
	return &metav1.Condition{Type: conditionAstray, Status: metav1.ConditionTrue, Reason: "LeftAlone", Message: astrayText(found)}
}
