package consolidation_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/consolidation"
)

// fragmented is a cluster after many days: nodes of three sizes in which pods of all sizes have come and gone, so that a third to a
// half of every node is requested.
func fragmented(t testing.TB, nodes int) *town {
	c := newTown(t)
	shapes := []cluster.Offer{offer("c4", 4, 0.2), offer("c8", 8, 0.4), offer("c16", 16, 0.8)}
	c.state.SetOffers(append(shapes, offer("c2", 2, 0.1), offer("c32", 32, 1.6)))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range nodes {
		o := shapes[random.IntN(len(shapes))]
		name := fmt.Sprintf("node-%04d", i)
		c.node(name, o)
		cores := o.Allocatable["cpu"]
		left := int64(float64(cores.MilliValue()) * (0.33 + 0.17*random.Float64()))
		for sizes := []int64{100, 200, 250, 500, 750, 1000, 1500}; left >= 100; {
			size := min(sizes[random.IntN(len(sizes))], left)
			c.run(name, 1, size)
			left -= size
		}
	}
	c.input.Candidates = c.candidates()
	return c
}

// BenchmarkFragmented plans the consolidation of a thousand fragmented nodes in one decision, with a budget for all of them and for a
// tenth of them, and once more when all of it is known.
func BenchmarkFragmented(b *testing.B) {
	for _, nodes := range []string{"100%", "10%"} {
		b.Run("budget="+nodes, func(b *testing.B) {
			c := fragmented(b, 1000)
			c.policy("general", budget(nodes))
			var d consolidation.Decision
			b.ReportAllocs()
			for b.Loop() {
				c.input.Memory = consolidation.NewMemory()
				d = consolidation.Decide(c.input)
			}
			report(b, c, d)
		})
	}
	b.Run("settled", func(b *testing.B) {
		c := fragmented(b, 1000)
		for _, name := range c.state.Nodes() {
			view, _ := c.state.NodeView(name)
			free, used := view.Allocatable["cpu"], view.Requested["cpu"]
			c.run(name, 1, free.MilliValue()-used.MilliValue()-50)
		}
		c.state.SetOffers(nil)
		c.input.Candidates = c.candidates()
		c.input.World.Now = noon.Add(time.Hour)
		var d consolidation.Decision
		for b.Loop() {
			c.input.Memory = consolidation.NewMemory()
			d = consolidation.Decide(c.input)
		}
		report(b, c, d)
	})
}

// BenchmarkLarge decides about 5,000 nodes with 150,000 pods, of which none has room elsewhere, as it is asked every few seconds: with a
// memory of what was found out before.
func BenchmarkLarge(b *testing.B) {
	c := newTown(b)
	o := offer("c32", 32, 1.6)
	for i := range 5000 {
		name := fmt.Sprintf("node-%04d", i)
		c.node(name, o)
		c.run(name, 30, 1060)
	}
	for i := range 40 {
		pdb := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pdb-%d", i), Namespace: "shop"}}
		pdb.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("app-%d", i)}}
		c.input.World.PDBs = append(c.input.World.PDBs, pdb)
	}
	c.input.Candidates = c.candidates()
	var d consolidation.Decision
	b.ReportAllocs()
	for b.Loop() {
		c.input.World.Now = c.input.World.Now.Add(5 * time.Second)
		d = consolidation.Decide(c.input)
	}
	report(b, c, d)
}

func report(b *testing.B, c *town, d consolidation.Decision) {
	b.Helper()
	if wrong := broken(c.input, d); wrong != "" {
		b.Fatal(wrong)
	}
	nodes, evictions, saving := 0, 0, 0.0
	for _, m := range d.Moves {
		nodes += len(m.Remove) - len(m.Create)
		evictions += len(m.Place)
		saving += m.Saving
	}
	total := 0.0
	for i := range c.input.Candidates {
		total += c.input.Candidates[i].PricePerHour
	}
	b.ReportMetric(float64(nodes), "nodes-less")
	b.ReportMetric(float64(evictions), "evictions")
	b.ReportMetric(100*saving/total, "saving-%")
	b.ReportMetric(float64(d.Simulations), "simulations")
	b.ReportMetric(float64(d.SimulatedPods), "pods-simulated")
}
