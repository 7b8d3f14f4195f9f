package sizing

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

const (
	// heapHeadroom is how much larger than what survives a collection a heap should be: with less, collections come often. At half as
	// much again a third of each cycle's heap is free for allocation.
	heapHeadroom = 1.5
	// heapMargin is what a container has beside heap and what is known to be outside of it.
	heapMargin = 1.1
	// goShare is the share of the limit that GOMEMLIMIT is set to: what the Go runtime does not count needs the rest.
	goShare = 0.9
	// jvmDefault is the share that a JVM takes when nothing is said (MaxRAMPercentage of OpenJDK).
	jvmDefault = 0.25
	// usualShare is the share of a container that a heap gets where it is not known how much is outside of it, and largestShare what it
	// gets at most.
	usualShare, largestShare = 0.7, 0.85
)

// heapFor applies the policy's word on the runtime, nil when the heap needs nothing.
func heapFor(want v1alpha1.Runtime, h Heap, c *corev1.Container) *Heap {
	switch want {
	case v1alpha1.RuntimeNone:
		return nil
	case v1alpha1.RuntimeAuto:
	default:
		h.Runtime = want
	}
	if h.Runtime == "" || h.Runtime == v1alpha1.RuntimeNone || h.Runtime == v1alpha1.RuntimeAuto {
		return nil
	}
	for _, v := range []*float64{&h.Max, &h.Fraction, &h.Used, &h.Committed, &h.Outside} {
		if math.IsNaN(*v) || math.IsInf(*v, 0) || *v < 0 {
			*v = 0
		}
	}
	if at := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == h.Variable }); at >= 0 && c.Env[at].ValueFrom != nil || at < 0 && len(c.EnvFrom) > 0 {
		// Its value is, or may be, somewhere else: it must not be overwritten, and what it says is not known.
		h.Variable, h.Value = "", ""
		if h.Fraction == jvmDefault {
			h.Fraction = 0
		}
	}
	return &h
}

// settable reports whether the heap's bound follows from a variable that a created pod may be given. A bound that comes from somewhere
// else, such as the command line, would win over it.
func (h *Heap) settable() bool {
	switch {
	case h.Variable == "":
		return false
	case h.Runtime == v1alpha1.RuntimeJVM && h.FromContainer:
		return jvmShare.MatchString(h.Value) || h.Fraction == 0 || h.Fraction == jvmDefault
	case h.Runtime == v1alpha1.RuntimeJVM:
		return h.Max == 0 || jvmMax.MatchString(h.Value)
	case h.Runtime == v1alpha1.RuntimeNode:
		return h.Max == 0 || nodeOption.MatchString(h.Value)
	}
	return true
}

// needed is how large the heap's bound should be, 0 when that is not known.
func (h *Heap) needed() float64 { return h.Used * heapHeadroom }

// heapNeeds sizes the memory of a container together with its heap. A heap fills what it may, so that usage alone says little about
// what is needed: that is what survives collections.
func heapNeeds(rule string, s *size) {
	h := s.of.heap
	if h == nil || s.resource() != corev1.ResourceMemory {
		return
	}
	if h.Runtime == v1alpha1.RuntimeGo {
		// Go gives memory back by itself, and its limit follows the container's, so the usage is the need.
		return
	}
	fixed := h.Max > 0 && !h.FromContainer
	switch {
	case fixed && (!h.settable() || h.Used == 0):
		// The bound stays, and the heap may fill it at any time.
		if whole := min((h.Max+h.Outside)*heapMargin, s.before); s.value < whole {
			s.change(rule, "HeapBound", whole, fmt.Sprintf("the heap may grow to %s (%s) and %s is outside of it",
				text(s.resource(), h.Max), h.Evidence, text(s.resource(), h.Outside)))
		}
	case h.Used > 0:
		s.heapFromUsed(rule, h)
	}
}

// heapFromUsed gives the container what survives collections, with room to work, and what is outside of the heap. Where the runtime
// takes a share of the container and nobody may change it, the share has to hold the heap.
func (s *size) heapFromUsed(rule string, h *Heap) {
	whole := (h.needed() + h.Outside) * heapMargin
	if h.FromContainer && h.Fraction > 0 && !h.settable() {
		whole = max(whole, h.needed()/h.Fraction)
	}
	reason := fmt.Sprintf("%s of the heap survives collections and %s is outside of it", text(s.resource(), h.Used), text(s.resource(), h.Outside))
	switch {
	case whole > s.value:
		s.change(rule, "HeapNeeds", min(whole, maxBytes), reason)
	case whole < s.value && h.Outside > 0 && s.quiet() && s.bounds(h):
		// Usage holds what the heap took and does not need. That is for pods to be created: a running one keeps what it uses.
		s.change(rule, "HeapIdle", max(whole, minMemory), reason)
		s.floor = min(s.floor, s.value)
	}
}

// bounds reports whether a created container's heap follows its size: by a variable, or as a share of the container's limit. Without a
// limit the share is one of the node.
func (s *size) bounds(h *Heap) bool {
	if !h.FromContainer {
		return h.settable()
	}
	limited := s.declaredLimit > 0 && s.of.policy.Limits != v1alpha1.LimitNone
	return limited && (h.Fraction > 0 || h.settable())
}

// runningFloor is what a running container keeps: what it used lately, idle heap or not, unless the resize restarts it.
func (c *container) runningFloor(s *size) float64 {
	if c.rereads() {
		return s.floor
	}
	return max(s.floor, s.reading.Floor)
}

// quiet reports whether the container was not killed for memory for so long that its usage need not be taken at its word.
func (s *size) quiet() bool {
	return s.reading.OOM.IsZero() || s.in.Now.Sub(s.reading.OOM) > 7*24*time.Hour
}

// environment bounds the heap of a created pod by its size: by its limit, or its request where it has none.
func (c *container) environment(s *size) map[string]string {
	h := c.heap
	if h == nil || !h.settable() || s == nil || s.value == 0 {
		return nil
	}
	whole := s.limit
	if whole == 0 {
		whole = s.value
	}
	heap := whole * usualShare
	if h.Outside > 0 {
		heap = min(largestShare*whole, max(whole/4, whole/heapMargin-h.Outside))
	}
	mib := strconv.FormatInt(int64(heap/mebibyte), 10)
	switch h.Runtime {
	case v1alpha1.RuntimeGo:
		return map[string]string{h.Variable: strconv.FormatInt(int64(whole*goShare/mebibyte), 10) + "MiB"}
	case v1alpha1.RuntimeNode:
		return map[string]string{h.Variable: withOption(h.Value, nodeOption, "--max-old-space-size="+mib)}
	case v1alpha1.RuntimeJVM:
		if jvmMax.MatchString(h.Value) {
			// A start-up heap above the bound would keep the process from starting.
			return map[string]string{h.Variable: withOption(jvmStart.ReplaceAllString(h.Value, ""), jvmMax, "-Xmx"+mib+"m")}
		}
		if s.limit == 0 {
			// Its share would be one of the node.
			return nil
		}
		share := strconv.FormatFloat(math.Floor(heap/whole*1000)/10, 'f', 1, 64)
		return map[string]string{h.Variable: withOption(h.Value, jvmShare, "-XX:MaxRAMPercentage="+share)}
	}
	return nil
}

var (
	nodeOption = regexp.MustCompile(`--max[-_]old[-_]space[-_]size[= ]\d+`)
	jvmMax     = regexp.MustCompile(`-Xmx\d+[kKmMgGtT]?|-XX:MaxHeapSize=\d+[kKmMgGtT]?`)
	jvmStart   = regexp.MustCompile(`-Xms\d+[kKmMgGtT]?|-XX:InitialHeapSize=\d+[kKmMgGtT]?`)
	jvmShare   = regexp.MustCompile(`-XX:MaxRAMPercentage=[\d.]+`)
)

// withOption replaces an option in a list of options, or adds it.
func withOption(list string, old *regexp.Regexp, option string) string {
	rest := strings.Fields(old.ReplaceAllString(list, ""))
	return strings.Join(append(rest, option), " ")
}

// holdsHeap reports whether memory cannot be taken from the running container below what its heap may fill: a runtime reads its bound
// when it starts.
func (c *container) holdsHeap(limit float64) bool {
	h := c.heap
	if h == nil {
		return false
	}
	if c.rereads() {
		// Its environment stays as it is.
		return limit*h.Fraction < h.needed()
	}
	if h.Max == 0 {
		return h.Runtime != v1alpha1.RuntimeGo
	}
	return limit < h.Max+h.Outside
}

// rereads reports whether a resize of memory restarts the container, so that its heap starts anew with a share of the new limit.
func (c *container) rereads() bool {
	return c.heap != nil && c.heap.FromContainer && slices.ContainsFunc(c.spec.ResizePolicy, func(p corev1.ContainerResizePolicy) bool {
		return p.ResourceName == corev1.ResourceMemory && p.RestartPolicy == corev1.RestartContainer
	})
}
