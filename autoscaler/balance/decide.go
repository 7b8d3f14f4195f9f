package balance

import (
	"fmt"
	"math"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// settling is how long pods go on being as large as the highest load within it asks for, once they have grown.
const settling = 10 * time.Minute

// tolerance is how far usage may be from its target before pods grow or shrink, as replicas do.
const tolerance = 0.1

// Input is everything that a decision depends on. Nothing in it is changed.
type Input struct {
	Now time.Time
	// Policy is the object with its status.
	Policy *v1alpha1.WorkloadAutoscaler
	// Template is the target's pod template, Pods its pods.
	Template *corev1.PodTemplateSpec
	Pods     []*corev1.Pod
	// Current is the number of replicas that the target asks for.
	Current int32
	// CPU is what all pods use together of what the CPU target is about, in cores; nil unless it is known and fresh.
	CPU *float64
	// Request is what a pod requests of it in the mean, in cores; 0 when it is not known.
	Request float64
	// Memory is what all pods use together, in bytes; Work the load that they share, such as requests per second; Latency in
	// seconds. Each is nil when it is not known.
	Memory, Work, Latency *float64
	// LargestPod is the most CPU that a pod may request, by maxAllowed and the largest node; nil when nothing bounds it.
	LargestPod *float64
	// Prices are DefaultPrices when zero.
	Prices Prices
}

func (in *Input) prices() Prices {
	if in.Prices == (Prices{}) {
		return DefaultPrices()
	}
	return in.Prices
}

// Memory is what one policy measured and chose lately. Its zero value is empty. It may be lost at any time: references are in the
// policy's status, and replicas are what grows until the rest is measured again. It is not safe for concurrent use.
type Memory struct {
	references map[string]reference
	growth     v1alpha1.Growth
	// memory and cpu are per pod, over the CPU and over the work of a pod; latency is over the size of pods, both as logarithms.
	memory, cpu, latency Fit
	wants                []want
	// known is when the use of CPU was last known.
	known time.Time
	peaks map[calmKey]*peak
}

// want is the reference that the load asked for at a time, in cores.
type want struct {
	at    time.Time
	cores float64
}

// Decision is what came out.
type Decision struct {
	// References go into horizontal.Input, nil when percentages are of what pods request.
	References map[string]int64
	// Status goes into the policy's status.
	Status []v1alpha1.UtilizationReference
	// Moves are the references that changed now.
	Moves []Move
	// Growth is Replicas or Pods, empty when the policy has not both directions or no target on the utilization of CPU. Code is a
	// stable word for the reason, Reason a sentence.
	Growth       v1alpha1.Growth
	Code, Reason string
	Evidence     Evidence
	// HoldCPU goes into sizing.Input: why the CPU of pods does not change, empty when it may.
	HoldCPU string
	// LargestCPU is up to where the CPU of a container follows its usage, by name and in cores, while more load is met with
	// replicas; see CapRole.
	LargestCPU map[string]float64

	// memory and at are for CapRole; memory is nil where growth is not chosen.
	memory *Memory
	at     time.Time
}

// Decide keeps references and chooses what more load is met with. It is to be called before the decisions on replicas and on sizes,
// which take what it gives.
func Decide(in Input, m *Memory) Decision {
	var d Decision
	if in.Policy.Spec.Vertical == nil || in.Policy.Spec.Horizontal == nil {
		*m = Memory{}
		return d
	}
	d.Moves = m.settle(&in)
	m.observe(&in)
	if o := cpuTarget(in.Policy); o != nil && m.references[o.Name].milli > 0 {
		m.grow(&in, o, &d)
	} else {
		d.Code, d.Reason = CodeNoTarget, "no objective is a utilization of CPU with a reference"
	}
	d.References, d.Status = m.values(), m.status(in.Policy)
	return d
}

// cpuTarget is the objective whose reference growth moves.
func cpuTarget(p *v1alpha1.WorkloadAutoscaler) *v1alpha1.Objective {
	for o := range utilizations(p) {
		if o.Resource.Name == v1alpha1.CPU {
			return o
		}
	}
	return nil
}

// observe learns how what a pod needs depends on its load.
func (m *Memory) observe(in *Input) {
	if in.Current <= 0 || in.CPU == nil {
		return
	}
	n := float64(in.Current)
	if in.Memory != nil {
		m.memory.Add(in.Now, *in.CPU/n, *in.Memory/n)
	}
	if in.Work != nil {
		m.cpu.Add(in.Now, *in.Work/n, *in.CPU/n)
	}
	if in.Latency != nil && *in.Latency > 0 && in.Request > 0 {
		m.latency.Add(in.Now, math.Log(in.Request), math.Log(*in.Latency))
	}
}

// grow chooses and, where pods grow, moves the reference so that the replicas that there are meet their target.
func (m *Memory) grow(in *Input, o *v1alpha1.Objective, d *Decision) {
	d.Evidence = m.evidence(in, o)
	c := m.choose(in, o, &d.Evidence)
	d.Growth, d.Code, d.memory, d.at = c.growth, c.code, m, in.Now
	d.Reason = fmt.Sprintf("more load is met with %s: %s", map[v1alpha1.Growth]string{v1alpha1.GrowthPods: "larger pods", v1alpha1.GrowthReplicas: "replicas"}[c.growth], c.reason)
	if c.code != CodeMaxReplicas && c.code != CodeLargestPod && c.code != CodeBoth && c.code != CodeNotInPlace {
		m.growth = c.growth
	}
	if move, ok := m.move(in, o, c, &d.Evidence); ok {
		d.Moves = append(d.Moves, move)
	}
	if in.CPU != nil {
		m.known = in.Now
	}
	if c.growth != v1alpha1.GrowthReplicas || in.Current >= in.Policy.Spec.Horizontal.Max {
		// Nothing takes load from these pods.
		return
	}
	if c.code == CodePolicy {
		d.HoldCPU = d.Reason
	}
	if in.Now.Sub(m.known) >= settling {
		// Replicas follow nothing. One new pod whose use is not known yet does not mean that: it stays for a while.
		return
	}
	d.LargestCPU = shares(in.Template, o, m.references[o.Name])
}

// move follows the load with the reference: up where pods grow, and back down to what is declared when fewer pods of the size are not
// allowed anyway. An unknown load moves nothing.
func (m *Memory) move(in *Input, o *v1alpha1.Objective, c choice, e *Evidence) (Move, bool) {
	r := m.references[o.Name]
	if in.CPU == nil || in.Current <= 0 {
		return Move{}, false
	}
	target := float64(*o.Resource.Utilization) / 100
	asked := *in.CPU / (float64(in.Current) * target)
	m.want(in.Now, asked)
	size := float64(r.milli) / 1000
	floor := float64(r.declared) / 1000
	if floor == 0 {
		floor = size
	}
	var to float64
	var code string
	switch {
	case asked > size*(1+tolerance) && c.growth == v1alpha1.GrowthPods:
		to, code = asked, CodeGrown
		if e.LargestPod != nil {
			to = math.Min(to, *e.LargestPod)
		}
	case size > floor && in.Current <= max(1, in.Policy.Spec.Horizontal.Min):
		// The replicas beyond the least are taken away first.
		to, code = math.Max(floor, m.highestWant()), CodeShrunk
		if to > size*(1-tolerance) && to > floor {
			return Move{}, false
		}
	default:
		return Move{}, false
	}
	milli := int64(math.Ceil(to*1000 - 1e-6))
	if (code == CodeGrown) != (milli > r.milli) || milli == r.milli {
		return Move{}, false
	}
	m.references[o.Name] = reference{milli, r.declared}
	return Move{Objective: o.Name, From: r.milli, To: milli, Code: code,
		Reason: fmt.Sprintf("%s of CPU in %d pods at a target of %d%% ask for %s per pod: %s", cores(*in.CPU), in.Current, *o.Resource.Utilization, cores(asked), c.reason)}, true
}

// want remembers what was asked for: all that a maximum over a sliding window can depend on.
func (m *Memory) want(at time.Time, cores float64) {
	for len(m.wants) > 0 && m.wants[len(m.wants)-1].cores <= cores {
		m.wants = m.wants[:len(m.wants)-1]
	}
	m.wants = append(m.wants, want{at, cores})
	n := 0
	for at.Sub(m.wants[n].at) >= settling {
		n++
	}
	m.wants = append(m.wants[:0], m.wants[n:]...)
}

func (m *Memory) highestWant() float64 { return m.wants[0].cores }

func cores(v float64) string {
	if v < 1 {
		return strconv.FormatFloat(math.Round(v*1000), 'f', -1, 64) + "m"
	}
	return strconv.FormatFloat(v, 'g', 3, 64) + " cores"
}

func bytes(v float64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for math.Abs(v) >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return strconv.FormatFloat(v, 'g', 3, 64) + " " + units[i]
}
