package consolidation_test

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// FuzzDecide makes any town at all, decides several times with one memory while pods come and go and moves fail, and holds every
// decision against what broken promises.
func FuzzDecide(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint8(12), uint8(40))
	}
	f.Add(uint64(1), uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, nodes, pods uint8) {
		random := rand.New(rand.NewPCG(seed, 3))
		c := anyTown(t, random, int(nodes%32), int(pods%128))
		for range 4 {
			d := c.decide()
			for i, m := range d.Moves {
				switch random.IntN(3) {
				case 0:
					c.input.Memory.Failed(m, "any reason", c.input.Config, c.input.World.Now)
				case 1:
					c.input.Memory.Began(m, c.input.World.Now)
				default:
					if i == 0 {
						c.run("", 1, 100+100*random.Int64N(20))
					}
				}
			}
			c.input.World.Now = c.input.World.Now.Add(time.Duration(random.IntN(1200)) * time.Second)
			c.state.SetTime(c.input.World.Now)
		}
	})
}

func anyTown(t testing.TB, random *rand.Rand, nodes, pods int) *town {
	c := newTown(t)
	chance := func(n int) bool { return random.IntN(n) == 0 }
	var shapes []cluster.Offer
	for _, cores := range []int64{1, 2, 4, 8, 16} {
		for _, capacity := range []string{"on-demand", "spot"} {
			for _, policy := range []string{"general", "second"} {
				o := offer("s"+strconv.FormatInt(cores, 10), cores, float64(cores)*(0.03+0.04*random.Float64()))
				o.CapacityType, o.Policy, o.Labels = capacity, policy, nodeLabels(o.Name, o.Zone, capacity)
				o.Available = !chance(5)
				shapes = append(shapes, o)
			}
		}
	}
	c.state.SetOffers(shapes)
	modes := []v1alpha1.Mode{v1alpha1.Apply, v1alpha1.Apply, v1alpha1.Recommend, v1alpha1.Observe, ""}
	whens := []v1alpha1.ConsolidationWhen{"", v1alpha1.ConsolidateEmptyOrUnderutilized, v1alpha1.ConsolidateEmpty, v1alpha1.ConsolidateNever}
	budgets := []string{"100%", "100%", "30%", "1", "0", "0%", "10"}
	for _, name := range []string{"general", "second"} {
		c.policy(name, func(p *v1alpha1.NodePolicy) {
			p.Spec.Mode = modes[random.IntN(len(modes))]
			p.Spec.Disruption.Consolidation.When = whens[random.IntN(len(whens))]
			p.Spec.Disruption.Consolidation.MinimumSaving = new(random.Int32N(101))
			p.Spec.Disruption.Budgets = nil
			for range random.IntN(3) {
				b := v1alpha1.DisruptionBudget{Nodes: intstr.Parse(budgets[random.IntN(len(budgets))])}
				if chance(3) {
					b.Schedule, b.Duration = "0 * * * *", &metav1.Duration{Duration: time.Duration(random.IntN(90)) * time.Minute}
				}
				if chance(2) {
					b.Reasons = []v1alpha1.DisruptionReason{v1alpha1.DisruptEmpty}
				}
				p.Spec.Disruption.Budgets = append(p.Spec.Disruption.Budgets, b)
			}
		})
	}
	var names []string
	for i := range nodes {
		name := "node-" + strconv.Itoa(i)
		if chance(20) {
			name = "new-" + strconv.Itoa(i) // as the planner names nodes that do not exist
		}
		names = append(names, name)
		c.node(name, shapes[random.IntN(len(shapes))], func(n *cluster.Node) {
			n.Leaving, n.Expected = chance(8), chance(8)
			if chance(8) {
				n.PricePerHour = 0
			}
			if chance(10) {
				n.Policy = []string{"", "gone"}[random.IntN(2)]
			}
			if chance(15) {
				n.Node.Annotations["yagura.dev/do-not-disrupt"] = "true"
			}
		})
		c.unready[name] = chance(10)
		if chance(5) {
			c.created[name] = noon.Add(-time.Duration(random.IntN(600)) * time.Second)
		}
		if chance(10) {
			c.input.World.Disrupted = map[string][]string{"general": {name}}
		}
	}
	kinds := []string{"ReplicaSet", "ReplicaSet", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "Node"}
	for range pods {
		node := ""
		if len(names) > 0 && !chance(20) {
			node = names[random.IntN(len(names))]
		}
		c.run(node, 1, 50+random.Int64N(1500), func(p *corev1.Pod) {
			p.OwnerReferences[0].Kind = kinds[random.IntN(len(kinds))]
			p.Labels["app"] = strconv.Itoa(random.IntN(4))
			if chance(10) {
				p.Spec.Priority = new(random.Int32())
			}
			if chance(20) {
				p.DeletionTimestamp = &metav1.Time{Time: noon}
			}
			if chance(30) {
				p.OwnerReferences = nil
			}
		})
	}
	for i := range random.IntN(3) {
		b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: strconv.Itoa(i), Namespace: "shop"}}
		b.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": strconv.Itoa(random.IntN(4))}}
		b.Status.DisruptionsAllowed = random.Int32N(2)
		c.input.World.PDBs = append(c.input.World.PDBs, b)
	}
	c.input.World.Replicas = func(string) int { return random.IntN(3) }
	if chance(6) {
		c.input.Pending = 1
	}
	if chance(6) {
		c.input.Growing = []string{"general"}
	}
	c.input.Config.MaxSimulations = 1 + random.IntN(200)
	return c
}
