package nodes

import (
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A lower bound is told beside the cost of the fleet that it was computed with, and of no other one.
func TestALowerBoundIsOfOneFleet(t *testing.T) {
	c := fleetOf(t, "4", "4")
	v, _ := c.snapshot(start)
	c.round.bound, c.round.boundOf, c.round.bounded = v.Cost/2, v.Cost, start
	v, _ = c.snapshot(start)
	assert.Positive(t, v.Cost)
	assert.Equal(t, c.round.bound, v.LowerBound)
	assert.False(t, c.recountDue(after(recountChanged)))

	c.world.apply(event{object: c.world.nodes["b"], deleted: true}, start)
	c.world.apply(event{object: c.world.claims["general-b"], deleted: true}, start)
	c.world.settle()
	smaller, _ := c.snapshot(start)
	assert.Less(t, smaller.Cost, v.Cost)
	assert.Zero(t, smaller.LowerBound)
	assert.True(t, c.recountDue(after(recountChanged)), "it is computed anew soon")
}

// Replicas of a StatefulSet that are not ready do not count as ones that serve.
func TestOnlyReadyReplicasCount(t *testing.T) {
	w := newWorld(0)
	s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db", UID: "1"}, Status: appsv1.StatefulSetStatus{Replicas: 3, ReadyReplicas: 1}}
	w.apply(event{object: s}, start)
	assert.Equal(t, 1, w.ready("1"))
}
