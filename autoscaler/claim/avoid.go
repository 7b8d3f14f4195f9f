package claim

import (
	"fmt"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// maxAvoided bounds how many offers are remembered.
const maxAvoided = 4096

// avoidKey is an offer that failed. What a provider has sold out is so for every policy (policy is empty then), while a node that
// did not boot may be its template's fault.
type avoidKey struct {
	offer  cluster.OfferID // Policy is empty
	policy string
}

// avoidance is what is remembered of an offer that failed.
type avoidance struct {
	failures int
	until    time.Time
	why      string
}

// Avoided says whether an offer is not to be bought for now, and why. What failed is avoided for Config.AvoidInterval, twice as
// long after each further failure, with a random part so that not everything is tried again at once; a success, or going without
// failure for as long again as it was avoided, takes that back. After a restart everything may be tried once more.
func (k *Keeper) Avoided(offer cluster.OfferID, now time.Time) (string, bool) {
	policy := offer.Policy
	offer.Policy = ""
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range []avoidKey{{offer: offer}, {offer: offer, policy: policy}} {
		if a := k.avoided[key]; a != nil && now.Before(a.until) {
			return fmt.Sprintf("avoided for another %s: %s", a.until.Sub(now).Round(time.Second), a.why), true
		}
	}
	return "", false
}

// avoid keeps an offer from being bought for a while; policy is empty when it holds for all.
func (k *Keeper) avoid(claim *v1alpha1.NodeClaim, policy, why string, now time.Time) {
	key := avoidKey{offer: offerOf(claim), policy: policy}
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.avoided[key]
	if a == nil {
		k.makeRoom(now)
		a = &avoidance{}
		k.avoided[key] = a
	}
	if now.Before(a.until) {
		return // several claims that fail at once are one failure
	}
	wait := backoff(time.Duration(k.cfg.AvoidInterval), time.Duration(k.cfg.AvoidLimit), a.failures+1) // half of the doubled is at least the whole
	a.failures++
	a.until, a.why = now.Add(min(wait, time.Duration(k.cfg.AvoidLimit))), why
	k.deps.Metrics.avoided.Set(float64(len(k.avoided)))
}

// trust takes back that an offer is avoided.
func (k *Keeper) trust(claim *v1alpha1.NodeClaim, policy string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.avoided, avoidKey{offer: offerOf(claim), policy: policy})
	k.deps.Metrics.avoided.Set(float64(len(k.avoided)))
}

// fade forgets failures that are long over: an offer that was not avoided for as long as the longest avoidance is as good as new.
// The caller holds the lock.
func (k *Keeper) fade(now time.Time) {
	for key, a := range k.avoided {
		quiet := now.Sub(a.until)
		for a.failures > 0 && quiet > 0 {
			quiet -= min(time.Duration(k.cfg.AvoidInterval)<<min(a.failures, 20), time.Duration(k.cfg.AvoidLimit))
			if quiet >= 0 {
				a.failures--
				a.until = now.Add(-quiet)
			}
		}
		if a.failures == 0 {
			delete(k.avoided, key)
		}
	}
	k.deps.Metrics.avoided.Set(float64(len(k.avoided)))
}

func (k *Keeper) makeRoom(now time.Time) {
	if len(k.avoided) < maxAvoided {
		return
	}
	k.fade(now)
	for key := range k.avoided {
		if len(k.avoided) < maxAvoided {
			return
		}
		delete(k.avoided, key)
	}
}

func offerOf(claim *v1alpha1.NodeClaim) cluster.OfferID {
	o := &claim.Spec.Offer
	return cluster.OfferID{Name: o.Name, Group: o.Group, Zone: o.Zone, CapacityType: o.CapacityType}
}
