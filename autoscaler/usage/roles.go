package usage

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// Roles of pods that no label tells apart.
const (
	heavyRole = "heavy"
	lightRole = "light"
)

const (
	// roleLeastCPU and roleLeastMemory are differences that are not worth a role, in cores and bytes.
	roleLeastCPU    = 0.05
	roleLeastMemory = 32 << 20
	// roleWarmup is how long a pod must have been measured before its usage says something about its role.
	roleWarmup = 5 * time.Minute
)

// member is a pod as it counts for roles.
type member struct {
	pod         string
	labels      map[string]string
	cpu, memory float64 // levels; NaN while the pod has not been measured for long enough
}

// division is a way to tell pods apart.
type division struct {
	// roles holds the role of each pod, heavy and light the roles' names.
	roles        map[string]string
	heavy, light string
	// label is the label that tells the pods apart, empty when none does.
	label  string
	reason string
}

// divide tells pods apart by what they use. The pods in the order of their usage are cut where the next one uses the most times as
// much as the one before; they have two roles when the median above the cut is at least ratio times the one below, the step at the
// cut at least the root of that, and the difference worth it. CPU is looked at first, then memory.
func divide(members []member, ratio float64) (division, bool) {
	for _, r := range []struct {
		name  string
		least float64
		of    func(member) float64
		text  func(float64) string
	}{
		{"CPU", roleLeastCPU, func(m member) float64 { return m.cpu }, func(v float64) string { return fmt.Sprintf("%.3g cores", v) }},
		{"memory", roleLeastMemory, func(m member) float64 { return m.memory }, func(v float64) string { return fmt.Sprintf("%.0f MiB", v/(1<<20)) }},
	} {
		var known []member
		for _, m := range members {
			if !math.IsNaN(r.of(m)) {
				known = append(known, m)
			}
		}
		if len(known) < 2 {
			continue
		}
		slices.SortFunc(known, func(a, b member) int { return cmp.Or(cmp.Compare(r.of(a), r.of(b)), cmp.Compare(a.pod, b.pod)) })
		cut, step := 0, 0.0
		for i := 1; i < len(known); i++ {
			// The floor keeps idle pods from being told apart by what is nothing.
			if s := (r.of(known[i]) + r.least/10) / (r.of(known[i-1]) + r.least/10); s > step {
				cut, step = i, s
			}
		}
		low, high := median(known[:cut], r.of), median(known[cut:], r.of)
		if step < math.Sqrt(ratio) || high < ratio*low || high-low < r.least {
			continue
		}
		d := named(known, cut)
		d.reason = fmt.Sprintf("%d of %d pods use %s of %s in the middle, the others %s: roles %s and %s",
			len(known)-cut, len(known), r.text(high), r.name, r.text(low), d.heavy, d.light)
		if d.label != "" {
			d.reason += ", by the label " + d.label
		}
		return d, true
	}
	return division{}, false
}

func median(members []member, of func(member) float64) float64 {
	n := len(members)
	return (of(members[(n-1)/2]) + of(members[n/2])) / 2
}

// named gives names to pods that were told apart: the values of a label, where one label has one value above the cut and another one
// below.
func named(sorted []member, cut int) division {
	d := division{heavy: heavyRole, light: lightRole, roles: make(map[string]string, len(sorted))}
	for _, key := range slices.Sorted(maps.Keys(sorted[0].labels)) {
		if ofController(key) {
			continue
		}
		low, high := sorted[0].labels[key], sorted[cut].labels[key]
		same := func(members []member, value string) bool {
			return !slices.ContainsFunc(members, func(m member) bool { return m.labels[key] != value })
		}
		if low != high && low != "" && high != "" && same(sorted[:cut], low) && same(sorted[cut:], high) {
			d.label, d.heavy, d.light = key, high, low
			break
		}
	}
	for i, m := range sorted {
		d.roles[m.pod] = d.light
		if i >= cut {
			d.roles[m.pod] = d.heavy
		}
	}
	return d
}

// ofController reports whether a label was put on a pod by its controller and says nothing about what it does.
func ofController(label string) bool {
	switch label {
	case "pod-template-hash", "controller-revision-hash", "pod-template-generation", "statefulset.kubernetes.io/pod-name",
		"apps.kubernetes.io/pod-index", "controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name",
		"batch.kubernetes.io/job-completion-index":
		return true
	}
	return false
}

// roleState is the division in force, and the one that must last until it is.
type roleState struct {
	divided bool
	current division
	// next is the other division that was seen since, as a key; empty for none.
	next  string
	since time.Time
}

// reason says why pods are told apart, or that they are not.
func (s *roleState) reason() string {
	if !s.divided {
		return ""
	}
	return s.current.reason
}

// update looks at the pods again and reports whether roles changed. Pods are told apart at ratio and put together again below the
// middle between that and 1, either when it lasted for hold. Known means that they were told apart before this process began.
func (s *roleState) update(now time.Time, members []member, ratio float64, hold time.Duration, known bool) bool {
	threshold := ratio
	if s.divided || known {
		threshold = (1 + ratio) / 2
	}
	d, ok := divide(members, threshold)
	if known && ok && !s.divided {
		s.divided, s.current, s.next = true, d, ""
		return true
	}
	if ok == s.divided && (!ok || s.current.agrees(d)) {
		if ok {
			s.current.reason = d.reason
		}
		s.next = ""
		return false
	}
	key := "none"
	if ok {
		key = d.key()
	}
	if s.next != key {
		s.next, s.since = key, now
	}
	if now.Sub(s.since) < hold {
		return false
	}
	s.divided, s.current, s.next = ok, d, ""
	return true
}

// agrees reports whether a division has the same role for every pod that both know.
func (d division) agrees(o division) bool {
	if d.label != "" && d.label == o.label && d.heavy == o.heavy && d.light == o.light {
		return true
	}
	for pod, role := range o.roles {
		if mine, ok := d.roles[pod]; ok && mine != role || !ok {
			return false
		}
	}
	return true
}

func (d division) key() string {
	var heavy []string
	for pod, role := range d.roles {
		if role == d.heavy {
			heavy = append(heavy, pod)
		}
	}
	slices.Sort(heavy)
	return d.label + "\x00" + strings.Join(heavy, "\x00")
}

// of is the role of a pod. One that is not known yet has the role that its label says, else the larger one: it is better to give it
// too much than too little.
func (s *roleState) of(pod string, labels map[string]string) string {
	if !s.divided {
		return sizing.DefaultRole
	}
	if s.current.label != "" {
		switch labels[s.current.label] {
		case s.current.light:
			return s.current.light
		default:
			return s.current.heavy
		}
	}
	if role, ok := s.current.roles[pod]; ok {
		return role
	}
	return s.current.heavy
}

// names are the roles that there are.
func (s *roleState) names() []string {
	if !s.divided {
		return []string{sizing.DefaultRole}
	}
	return []string{s.current.heavy, s.current.light}
}
