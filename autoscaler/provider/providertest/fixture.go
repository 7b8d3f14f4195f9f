// Package providertest is the suite that every provider passes: what package provider promises, asked of a provider in front of a
// world that the caller brings, real or a faithful stand-in. Only tests import it.
package providertest

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/provider"
)

// Fixture is a provider and the world that it works on, both fresh. What is nil cannot be done in that world, and the parts of the
// suite that need it are left out, visibly.
type Fixture struct {
	Provider provider.Provider
	// Policy is the one that offers are asked for. Its name is the claims' policy.
	Policy *v1alpha1.NodePolicy
	// Again is a further provider over the same world, with nothing kept in memory: what a second leader is, and a process that was
	// started again.
	Again func(t *testing.T) provider.Provider
	// Count is the number of machines that there are for claims, those being made included, counted behind the provider's back.
	Count func(t *testing.T) int
	// Settle lets the world come to rest: machines that were asked for run, and those being deleted are gone.
	Settle func(t *testing.T)
	// LoseAnswer makes the next request that makes a machine take effect while its caller hears of a failure.
	LoseAnswer func(t *testing.T)
	// LoseRequest makes the next request that makes a machine fail without an effect, in a way that does not tell so.
	LoseRequest func(t *testing.T)
	// SellOut makes an offer fail at the next Create.
	SellOut func(t *testing.T, offer cluster.Offer)
	// Vanish takes a claim's machine away, as a cloud does that reclaims it.
	Vanish func(t *testing.T, claim *v1alpha1.NodeClaim)
	// Resize adds a machine that is nobody's claim's to the group of an offer, as a person does by hand.
	Resize func(t *testing.T, offer cluster.Offer)
	// Record is told the claim as the controller would store it after a call, for providers that read claims. May be nil.
	Record func(t *testing.T, claim *v1alpha1.NodeClaim)
}

// Claim returns a claim for an offer as the controller makes it.
func Claim(name, providerName string, policy *v1alpha1.NodePolicy, offer cluster.Offer) *v1alpha1.NodeClaim {
	return &v1alpha1.NodeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{v1alpha1.NodeClaimFinalizer}},
		Spec: v1alpha1.NodeClaimSpec{
			Policy:   policy.Name,
			Provider: providerName,
			Offer: v1alpha1.ClaimedOffer{
				Name: offer.Name, Group: offer.Group, Zone: offer.Zone, CapacityType: offer.CapacityType,
				PricePerHour: price(offer.PricePerHour), Allocatable: offer.Allocatable,
			},
			Labels: policy.Spec.Template.Labels, Taints: policy.Spec.Template.Taints, StartupTaints: policy.Spec.Template.StartupTaints,
			Version: policy.Spec.Template.Version, Image: policy.Spec.Template.Image,
			Reason: "the suite wants it",
		},
	}
}

func price(perHour float64) resource.Quantity {
	q, err := resource.ParseQuantity(strings.TrimRight(fmt.Sprintf("%.9f", perHour), "0"))
	if err != nil {
		return resource.Quantity{}
	}
	return q
}
