package claim_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/claim"
)

func TestPricesAreRoundedUpToAMillionth(t *testing.T) {
	for price, want := range map[float64]string{0.1: "100m", 0.0464: "46400u", 2: "2", 1.0 / 3: "333334u", 24.6666666 / 1000: "24667u", 0: "0", -1: "0", math.NaN(): "0", math.Inf(1): "0"} {
		got := claim.Price(price)
		assert.Equal(t, want, got.String(), "%v", price)
	}
	sum := resource.Quantity{}
	for range 10 {
		sum.Add(claim.Price(0.1))
	}
	assert.Equal(t, "1", sum.String())
}

func TestTheLedgerCountsClaimsAndReservationsOnce(t *testing.T) {
	offer := v1alpha1.ClaimedOffer{PricePerHour: claim.Price(0.5), Allocatable: corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi")}}
	policy := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	policy.Status.Reservations = []v1alpha1.Reservation{{Claim: "p-1", Charge: claim.Charge(&offer)}, {Claim: "p-2", Charge: claim.Charge(&offer)}}
	claims := []*v1alpha1.NodeClaim{
		{ObjectMeta: metav1.ObjectMeta{Name: "p-1"}, Spec: v1alpha1.NodeClaimSpec{Policy: "p", Offer: offer}},
		{ObjectMeta: metav1.ObjectMeta{Name: "q-1"}, Spec: v1alpha1.NodeClaimSpec{Policy: "q", Offer: offer}},
	}
	charged := claim.Charged(policy, claims)
	assert.EqualValues(t, 2, charged.Nodes)
	assert.Equal(t, "8", charged.CPU.String())
	assert.Equal(t, "16Gi", charged.Memory.String())
	assert.Equal(t, "1", charged.PricePerHour.String())
	assert.Zero(t, claim.Left(policy, claims))
	cpu := resource.MustParse("10")
	policy.Spec.Limits = &v1alpha1.NodeLimits{CPU: &cpu}
	assert.EqualValues(t, 2000, *claim.Left(policy, claims).MilliCPU)
	cpu = resource.MustParse("1")
	assert.Zero(t, *claim.Left(policy, claims).MilliCPU)
}

func TestNodesAreFound(t *testing.T) {
	node := func(name, id, label string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelNodeClaim: label}}, Spec: corev1.NodeSpec{ProviderID: id}}
	}
	index := claim.NewNodeIndex([]*corev1.Node{node("a", "cloud://1", ""), node("b", "", "p-2"), node("c", "cloud://other", "p-3"), node("d", "", "")})
	for _, c := range []struct{ claim, id, node, want string }{
		{"p-1", "cloud://1", "", "a"},
		{"p-2", "", "", "b"},
		{"p-2", "cloud://2", "", "b"},
		{"p-3", "cloud://3", "", ""}, // a label is no proof against another machine's ID
		{"p-4", "", "d", "d"},
		{"p-5", "", "", ""},
	} {
		got := index.Find(&v1alpha1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: c.claim}, Status: v1alpha1.NodeClaimStatus{ProviderID: c.id, NodeName: c.node}})
		name := ""
		if got != nil {
			name = got.Name
		}
		assert.Equal(t, c.want, name, "%+v", c)
	}
}

func TestConfig(t *testing.T) {
	assert.NoError(t, claim.DefaultConfig().Validate())
	for field, change := range map[string]func(*claim.Config){
		"providerTimeout": func(c *claim.Config) { c.ProviderTimeout = 0 },
		"retryLimit":      func(c *claim.Config) { c.RetryLimit = c.RetryInterval - 1 },
		"bootTimeout":     func(c *claim.Config) { c.BootTimeout = 1 },
		"orphanTimeout":   func(c *claim.Config) { c.OrphanTimeout = 1 },
		"maxOrphans":      func(c *claim.Config) { c.MaxOrphans = -1 },
		"avoidLimit":      func(c *claim.Config) { c.AvoidLimit = 0 },
	} {
		c := claim.DefaultConfig()
		change(&c)
		assert.ErrorContains(t, c.Validate(), field+": must")
	}
}
