package sizing

import (
	"fmt"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// containerSizes puts the sizes into the form that is published.
func containerSizes(all []*container) []ContainerSize {
	var out []ContainerSize
	for _, c := range all {
		size := ContainerSize{Role: c.role, Container: c.spec.Name, Init: c.init, Confidence: 1}
		var reasons []string
		for _, s := range c.sizes {
			if !s.known || s.value == 0 {
				continue
			}
			r := s.resource()
			set(&size.Requests, r, s.value)
			if s.limit > 0 {
				set(&size.Limits, r, s.limit)
			} else if s.declaredLimit > 0 && c.policy.Limits == v1alpha1.LimitNone {
				size.RemoveLimits = append(size.RemoveLimits, r)
			}
			setIf(&size.Lower, r, s.reading.Lower)
			setIf(&size.Upper, r, s.reading.Upper)
			setIf(&size.Uncapped, r, s.reading.Target)
			if s.reading.Model != "" {
				if size.Models == nil {
					size.Models = map[string]string{}
				}
				size.Models[string(r)] = s.reading.Model
			}
			size.Confidence = min(size.Confidence, s.reading.Confidence)
			_, reason := s.stable()
			reasons = append(reasons, fmt.Sprintf("%s: %s", r, reason))
		}
		if len(size.Requests) == 0 {
			continue
		}
		if c.boost > 0 {
			set(&size.Startup, corev1.ResourceCPU, c.boost)
		}
		size.Environment = c.environment(c.movable(corev1.ResourceMemory))
		size.Reason = strings.Join(reasons, "; ")
		out = append(out, size)
	}
	return out
}

func setIf(list *corev1.ResourceList, r corev1.ResourceName, v float64) {
	if v > 0 {
		set(list, r, min(roughly(r, v), most(r)))
	}
}

// roughly rounds up to two significant digits: what is published for people need not change with every sample.
func roughly(r corev1.ResourceName, v float64) float64 {
	n := math.Ceil(v / unit(r) * (1 - 1e-9))
	step := 1.0
	for n/step > 99 {
		step *= 10
	}
	return units(r, math.Ceil(n/step)*step)
}

// stable is the reason of the size since it has been what it is: its numbers are those of then, and it does not change with every
// sample.
func (s *size) stable() (code, reason string) {
	code, reason = s.decisive()
	if last, ok := s.in.Memory.asked[s.key]; ok && last.value == s.asked && (last.code == code || code == "WithinTolerance") {
		return last.code, last.reason
	}
	return code, reason
}

// recordSizes puts the sizes into the form that records have.
func recordSizes(all []*container) []decision.Size {
	var out []decision.Size
	for _, c := range all {
		for _, s := range c.sizes {
			role := c.role
			if role == DefaultRole {
				role = ""
			}
			r := decision.Size{Container: c.spec.Name, Role: role, Resource: string(s.resource()), Model: s.reading.Model,
				Confidence: s.reading.Confidence, State: s.reading.State, Reason: s.reason(), Verdicts: s.verdicts,
				Request: some(s.request), Limit: some(s.requestLimit), Recommended: some(s.reading.Target)}
			if s.reading.State == decision.Fresh {
				usage := s.reading.Usage
				r.Usage = &usage
			}
			if s.known {
				r.Desired, r.DesiredLimit = some(s.value), some(s.limit)
			}
			out = append(out, r)
		}
	}
	return out
}

func some(v float64) *float64 {
	if v == 0 {
		return nil
	}
	return &v
}

// decisive is the last rule that brought the request to something else, else what the estimate says.
func (s *size) decisive() (code, reason string) {
	for i := len(s.verdicts) - 1; i >= 0; i-- {
		v := &s.verdicts[i]
		if v.Action != decision.Pass && (v.From != v.To || v.Action == decision.Hold) || v.Code == "WithinTolerance" {
			return v.Code, v.Reason
		}
	}
	return s.reading.Model, s.reading.Estimate.Reason
}

func (s *size) reason() string {
	_, reason := s.decisive()
	return reason
}
