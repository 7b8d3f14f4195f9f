package horizontal

import (
	"fmt"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// Decide evaluates a policy once. The record's outcome supposes that what it asks for succeeds. The recommendation is added
// to the input's history; a change of the target is not: call History.Scale once it was carried out.
func Decide(in Input) decision.Record {
	policy := in.Policy.Spec.Horizontal
	s := &state{in: &in, policy: policy, behavior: resolve(policy.Behavior), replicas: in.Current}
	s.readings = read(&in, s.behavior.tolerance)
	for i := range s.readings {
		r := &s.readings[i]
		if r.known() && (s.winner == nil || r.proposal.Replicas > s.winner.proposal.Replicas) {
			s.winner = r
		}
	}
	if !in.History.Started() {
		// What the target has counts as recommended, so that a restart is no reason to scale in.
		in.History.Recommend(in.Now, in.Current)
	}

	record := newRecord(s)
	if s.winner != nil {
		record.RecommendedReplicas = s.winner.proposal.Replicas
	}
	if asked := s.run(&record); asked {
		in.History.Recommend(in.Now, s.remembered())
	}
	record.DesiredReplicas = s.replicas
	conclude(s, &record)
	return record
}

func newRecord(s *state) decision.Record {
	p := s.in.Policy
	record := decision.Record{
		Namespace: p.Namespace, Name: p.Name,
		Target: decision.Target{APIVersion: p.Spec.TargetRef.APIVersion, Kind: p.Spec.TargetRef.Kind, Name: p.Spec.TargetRef.Name},
		Mode:   string(p.Spec.Mode), Time: s.in.Now,
		CurrentReplicas: s.in.Current, ReadyReplicas: ReadyPods(s.in.Pods), RecommendedReplicas: s.in.Current,
		DesiredReplicas: s.in.Current, MinReplicas: s.policy.Min, MaxReplicas: s.policy.Max,
		Objectives: make([]decision.Objective, len(s.readings)),
	}
	for i := range s.readings {
		record.Objectives[i] = s.readings[i].record()
	}
	return record
}

// remembered is the recommendation that later decisions are to be stabilized with. While a signal is unknown that is at least what
// the target has, so that the first value after an outage is no reason to scale in at once.
func (s *state) remembered() int32 {
	switch {
	case s.winner == nil:
		return s.in.Current
	case s.allKnown():
		return s.winner.proposal.Replicas
	}
	return max(s.in.Current, s.winner.proposal.Replicas)
}

// run takes the number of replicas through the rules and writes their verdicts into the record. It reports whether the signals
// were asked, rather than the matter settled before.
func (s *state) run(record *decision.Record) (asked bool) {
	chain := rules()
	record.Verdicts = make([]decision.Verdict, 0, len(chain)+1)
	for _, r := range chain {
		v := r.judge(s)
		record.Verdicts = append(record.Verdicts, decision.Verdict{
			Rule: r.name(), Action: v.action, Code: v.code, From: s.replicas, To: v.replicas, Reason: v.reason,
		})
		s.replicas = v.replicas
		asked = asked || r.name() == (freshness{}).name()
		if v.settled || v.action == decision.Hold {
			break
		}
	}
	return asked
}

// conclude names the outcome, adds the mode's verdict and writes the sentence for people.
func conclude(s *state, record *decision.Record) {
	current, desired := record.CurrentReplicas, record.DesiredReplicas
	cause, limit := causes(record.Verdicts)
	record.Code = cause.Code
	switch {
	case limit != nil && desired == current && !atRest(limit):
		record.Outcome = decision.Held
		record.Code = limit.Code
		record.Reason = fmt.Sprintf("Held at %d: %s", current, holdReason(cause, limit))
	case desired == current:
		record.Outcome = decision.Unchanged
		record.Reason = fmt.Sprintf("Unchanged at %d: %s", current, cause.Reason)
		if limit != nil {
			record.Code = limit.Code
			record.Reason += "; " + limit.Reason
		}
		record.Reason += s.caveat(record.Verdicts)
	default:
		word := "Scaled out"
		record.Outcome = decision.ScaledOut
		if desired < current {
			word, record.Outcome = "Scaled in", decision.ScaledIn
		}
		record.Reason = fmt.Sprintf("%s from %d to %d: %s", word, current, desired, cause.Reason)
		if limit != nil {
			record.Reason += fmt.Sprintf("; %d wanted, %s", record.RecommendedReplicas, limit.Reason)
		}
	}
	applyMode(s, record)
}

// caveat says so when nothing changes and nothing may be scaled in either.
func (s *state) caveat(verdicts []decision.Verdict) string {
	if s.winner == nil || s.allKnown() {
		return ""
	}
	for i := range verdicts {
		if verdicts[i].Rule == (freshness{}).name() {
			return "; " + verdicts[i].Reason
		}
	}
	return ""
}

// causes returns the verdict that set the number of replicas in motion, or that found it right, and the last one after it that
// brought the number down to something else, nil when none did.
func causes(verdicts []decision.Verdict) (cause, limit *decision.Verdict) {
	for i := range verdicts {
		v := &verdicts[i]
		switch {
		case v.Action == decision.Hold:
			return v, v
		case v.Rule == (bounds{}).name() && v.Action == decision.Change, v.Rule == (tolerance{}).name():
			cause = v
		case cause != nil && v.Action == decision.Change:
			limit = v
		}
	}
	return cause, limit
}

// atRest reports whether a limit is no reason to worry: a workload at its minimum that could do with less.
func atRest(limit *decision.Verdict) bool {
	return limit.Rule == (minMax{}).name() && limit.Code == "TooFewReplicas"
}

func holdReason(cause, limit *decision.Verdict) string {
	if cause == limit {
		return cause.Reason
	}
	return fmt.Sprintf("%s, which asks for %d, but %s", cause.Reason, cause.To, limit.Reason)
}

// applyMode turns what the policy would do into what its mode lets it do.
func applyMode(s *state, record *decision.Record) {
	v := decision.Verdict{Rule: "mode", Action: decision.Pass, Code: string(s.in.Policy.Spec.Mode), From: record.DesiredReplicas, To: record.DesiredReplicas}
	current, desired := record.CurrentReplicas, record.DesiredReplicas
	switch s.in.Policy.Spec.Mode {
	case v1alpha1.Apply:
		v.Reason = "the policy applies what it decides"
	case v1alpha1.Observe:
		v.Reason = "the policy observes only"
		record.Outcome = decision.Observed
		if desired != current {
			v.Action, v.To = decision.Hold, current
			record.Reason = fmt.Sprintf("Observed only, %d would become %d: %s", current, desired, tail(record.Reason))
		}
		record.DesiredReplicas = current
	default:
		v.Reason = "the policy recommends and does not act"
		if desired != current {
			v.Action, v.To = decision.Hold, current
			record.Outcome = decision.Recommended
			record.Reason = fmt.Sprintf("Recommended from %d to %d: %s", current, desired, tail(record.Reason))
		}
	}
	record.Verdicts = append(record.Verdicts, v)
}

// tail is a reason without the words before its first colon, which name the outcome.
func tail(reason string) string {
	for i := range len(reason) - 1 {
		if reason[i] == ':' {
			return reason[i+2:]
		}
	}
	return reason
}
