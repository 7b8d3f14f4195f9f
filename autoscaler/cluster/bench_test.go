package cluster

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// binPackingPods are those of cluster-autoscaler's public benchmark.
func binPackingPods() []*corev1.Pod {
	out := make([]*corev1.Pod, 0, 51000)
	for i := range 50000 {
		out = append(out, pod(numbered("small", i), "50m", "100"))
	}
	for i := range 1000 {
		out = append(out, pod(numbered("large", i), "95m", "190"))
	}
	return out
}

func binPackingOffer() Offer {
	o := offer("only", "a", "1000m", "5000", 1)
	o.Allocatable[corev1.ResourcePods] = list("100", "0")[corev1.ResourceCPU]
	return o
}

func TestBinPackingBenchmarkNeedsTheFewestNodes(t *testing.T) {
	s := NewState()
	for _, p := range binPackingPods() {
		upsert(t, s, p)
	}
	s.SetOffers([]Offer{binPackingOffer()})
	plan := s.Plan(Options{})
	if len(plan.Create) != 2595 || plannedPods(plan) != 51000 || len(plan.Unschedulable) != 0 {
		t.Fatalf("%d pods on %d nodes, %d without a place", plannedPods(plan), len(plan.Create), len(plan.Unschedulable))
	}
	if plan.Cost.LowerBound < 2594.999 || plan.Cost.LowerBound > 2595.001 {
		t.Errorf("lower bound %v", plan.Cost.LowerBound)
	}
}

func BenchmarkBinPacking(b *testing.B) {
	pods := binPackingPods()
	b.Run("classify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s := NewState()
			for _, p := range pods {
				upsert(b, s, p)
			}
		}
	})
	s := NewState()
	for _, p := range pods {
		upsert(b, s, p)
	}
	s.SetOffers([]Offer{binPackingOffer()})
	b.Run("plan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if plan := s.Plan(Options{}); len(plan.Create) != 2595 {
				b.Fatal(len(plan.Create))
			}
		}
	})
}

// diversePods are those of Karpenter's public benchmark: one fifth each plain, spread over zones, spread over nodes, near each
// other in a zone, and away from each other on nodes.
func diversePods(count int, seed uint64) []*corev1.Pod {
	r := rand.New(rand.NewPCG(seed, 1))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	letters := []string{"a", "b", "c", "d", "e", "f", "g"}
	make := func(i int, kind string, options ...podOption) *corev1.Pod {
		return pod(numbered(kind, i), pick("100m", "250m", "500m", "1000m", "1500m"), pick("100Mi", "256Mi", "512Mi", "1024Mi", "2048Mi", "4096Mi"), options...)
	}
	out := []*corev1.Pod{}
	for i := range count / 5 {
		out = append(out,
			make(i, "plain", labelled("my-label", pick(letters...))),
			make(i, "zonal", labelled("my-label", pick(letters...)), spreadOver(corev1.LabelTopologyZone, 1, "my-label", pick(letters...))),
			make(i, "hosts", labelled("my-label", pick(letters...)), spreadOver(corev1.LabelHostname, 1, "my-label", pick(letters...))),
			func() *corev1.Pod {
				v := pick(letters...)
				return make(i, "near", labelled("my-affinity", v), nearTo(corev1.LabelTopologyZone, "my-affinity", v))
			}(),
			make(i, "apart", labelled("app", "nginx"), apartFrom(corev1.LabelHostname, "app", "nginx")))
	}
	return out
}

func diverseOffers() []Offer {
	out := make([]Offer, 0, 2400)
	for i := 1; i <= 400; i++ {
		for _, zone := range []string{"zone-1", "zone-2", "zone-3"} {
			for _, contract := range []string{"spot", "on-demand"} {
				alloc := list(fmt.Sprint(i), fmt.Sprintf("%dGi", 2*i), "pods", fmt.Sprint(10*i), "ephemeral-storage", "1000Gi")
				out = append(out, Offer{Name: fmt.Sprintf("type-%d", i), Zone: zone, CapacityType: contract, Available: true, Stock: -1, Allocatable: alloc,
					PricePerHour: 0.1*float64(i) + 0.1*float64(2*i<<30)/1e9,
					Labels: map[string]string{corev1.LabelInstanceTypeStable: fmt.Sprintf("type-%d", i), corev1.LabelTopologyZone: zone,
						"karpenter.sh/capacity-type": contract, corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux"}})
			}
		}
	}
	return out
}

// resourceBound is what all requests cost at 0.1 for a core and 0.1 for 10^9 bytes.
func resourceBound(pods []*corev1.Pod) float64 {
	sum := 0.0
	for _, p := range pods {
		r := p.Spec.Containers[0].Resources.Requests
		sum += 0.1*float64(r.Cpu().MilliValue())/1000 + 0.1*float64(r.Memory().Value())/1e9
	}
	return sum
}

func TestDiverseBenchmarkCostsLittleMoreThanItsResources(t *testing.T) {
	for _, count := range []int{500, 5000} {
		pods := diversePods(count, 7)
		s := NewState()
		for _, p := range pods {
			upsert(t, s, p)
		}
		s.SetOffers(diverseOffers())
		plan := s.Plan(Options{})
		if plannedPods(plan) != count {
			t.Fatalf("%d of %d pods have a place: %+v", plannedPods(plan), count, plan.Unschedulable[0])
		}
		ratio := plan.Cost.After / resourceBound(pods)
		t.Logf("%d pods: %d nodes, %.3f of the resource bound, lower bound %.1f (%s)", count, len(plan.Create), ratio, plan.Cost.LowerBound, plan.Cost.Bound)
		if ratio > 1.25 || plan.Cost.LowerBound > plan.Cost.After {
			t.Errorf("%d pods: %.3f of the resource bound, lower bound %v of %v", count, ratio, plan.Cost.LowerBound, plan.Cost.After)
		}
		check(t, s, plan)
	}
}

// BenchmarkDiverse measures what a running autoscaler does once pods have come: taking them in (Upsert) and the plan for them, with
// the price bound. The offers are set beforehand, as they change seldom.
func BenchmarkDiverse(b *testing.B) {
	for _, count := range []int{500, 1000, 2000, 5000, 10000, 20000} {
		pods := diversePods(count, 7)
		offers := diverseOffers()
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			b.ReportAllocs()
			s := NewState()
			s.SetOffers(offers)
			s.Plan(Options{})
			var plan Plan
			for b.Loop() {
				for _, p := range pods {
					upsert(b, s, p)
				}
				plan = s.Plan(Options{})
				b.StopTimer()
				for _, p := range pods {
					s.Delete(p)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "pods/s")
			b.ReportMetric(plan.Cost.After/resourceBound(pods), "of-bound")
		})
	}
}

// largeState is nodes with pods of a few hundred workloads, half of which are spread over zones and kept apart on nodes. Most nodes
// are nearly full.
func largeState(t testing.TB, nodes int, pods []*corev1.Pod) *State {
	s := NewState()
	for i := range nodes {
		s.SetNode(node(numbered("node", i), fmt.Sprintf("zone-%d", i%3), "16", "64Gi", 0.5))
	}
	for _, p := range pods {
		upsert(t, s, p)
	}
	return s
}

func largePods(nodes, perNode int) []*corev1.Pod {
	out := make([]*corev1.Pod, nodes*perNode)
	for i := range out {
		w := (i/nodes)*10 + i%10
		out[i] = workloadPod(w, i, onNode(numbered("node", i%nodes)))
	}
	return out
}

func workloadPod(w, i int, options ...podOption) *corev1.Pod {
	app := fmt.Sprintf("app-%d", w)
	options = append(options, labelled("app", app))
	if w%2 == 0 {
		options = append(options, spreadOver(corev1.LabelTopologyZone, 5, "app", app))
	}
	if w%4 == 1 {
		options = append(options, apartFrom(corev1.LabelHostname, "app", app))
	}
	return pod(numbered(app, i), fmt.Sprintf("%dm", 100+(w*37)%700), fmt.Sprintf("%dMi", 128+(w*91)%2048), options...)
}

func BenchmarkLargeState(b *testing.B) {
	var before, after runtime.MemStats
	pods := largePods(5000, 30)
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := largeState(b, 5000, pods)
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(pods)
	s.SetOffers(diverseOffers())
	for name, count := range map[string]int{"10 pods": 10, "1000 pods": 1000} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var plan Plan
			i := 0
			for b.Loop() {
				pods := make([]*corev1.Pod, count)
				for j := range pods {
					i++
					pods[j] = workloadPod(j%300, 1000000+i)
					upsert(b, s, pods[j])
				}
				plan = s.Plan(Options{})
				for _, p := range pods {
					s.Delete(p)
				}
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB-state")
			b.ReportMetric(float64(len(plan.Create)), "nodes")
			b.ReportMetric(float64(len(plan.Unschedulable)), "without-place")
		})
	}
}

// BenchmarkLargeStateBuys is for pods that no node has room for: a plan buys for them.
func BenchmarkLargeStateBuys(b *testing.B) {
	s := largeState(b, 5000, largePods(5000, 30))
	s.SetOffers(diverseOffers())
	for _, count := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprintf("%d pods", count), func(b *testing.B) {
			b.ReportAllocs()
			var plan Plan
			i := 0
			for b.Loop() {
				pods := make([]*corev1.Pod, count)
				for j := range pods {
					i++
					pods[j] = workloadPod(j%300, 1000000+i)
					// More than any node of 16 cores that runs 30 pods has left.
					pods[j].Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = list("12", "0")[corev1.ResourceCPU]
					upsert(b, s, pods[j])
				}
				plan = s.Plan(Options{})
				for _, p := range pods {
					s.Delete(p)
				}
			}
			if len(plan.Create) == 0 || len(plan.Unschedulable) > 0 {
				b.Errorf("%d nodes bought, %d pods without a place", len(plan.Create), len(plan.Unschedulable))
			}
			b.ReportMetric(float64(len(plan.Create)), "nodes")
			b.ReportMetric(float64(len(plan.Placed)), "placed")
		})
	}
}

func BenchmarkSimulate(b *testing.B) {
	s := largeState(b, 1000, largePods(1000, 15))
	s.SetOffers(diverseOffers())
	names := s.Nodes()
	for name, r := range map[string]Removal{"remove": {}, "replace": {Buy: true, MaxNew: 1, MaxPrice: 0.5}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				r.Nodes = names[i%len(names) : i%len(names)+1]
				s.Simulate(r)
				i++
			}
		})
	}
}

// BenchmarkBinPackingCold is the first plan of a state that has just been filled, as a command line makes it.
func BenchmarkBinPackingCold(b *testing.B) {
	pods := binPackingPods()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		s := NewState()
		for _, p := range pods {
			upsert(b, s, p)
		}
		s.SetOffers([]Offer{binPackingOffer()})
		runtime.GC()
		b.StartTimer()
		if plan := s.Plan(Options{}); len(plan.Create) != 2595 {
			b.Fatal(len(plan.Create))
		}
	}
}
