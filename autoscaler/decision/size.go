package decision

// Direction is what a decision is about.
type Direction string

const (
	// Horizontal decisions are about replicas. It is left out of records.
	Horizontal Direction = ""
	// Vertical decisions are about what containers request.
	Vertical Direction = "Vertical"
)

// Outcomes of vertical decisions; the others have those that are shared with horizontal ones.
const (
	// Resized means that pods were given other sizes in place.
	Resized Outcome = "Resized"
	// Recreated means that pods were evicted, or their workload rolled out, so that new ones get other sizes.
	Recreated Outcome = "Recreated"
	// RolledBack means that a change was taken back because of what followed it.
	RolledBack Outcome = "RolledBack"
)

// Size is what one container of one role should have of one resource. Quantities are in cores or bytes.
type Size struct {
	Container string `json:"container"`
	// Role tells pods of one target apart that behave differently; empty where they do not.
	Role string `json:"role,omitempty"`
	// Resource is cpu, memory, ephemeral-storage or hugepages-<size>.
	Resource string `json:"resource"`
	// Usage is the newest peak of usage, nil when it is unknown.
	Usage *float64 `json:"usage,omitempty"`
	// Request and Limit are in force, the highest over the pods of the role; nil when there are none.
	Request *float64 `json:"request,omitempty"`
	Limit   *float64 `json:"limit,omitempty"`
	// Recommended is what usage alone asks for, nil when that is unknown.
	Recommended *float64 `json:"recommended,omitempty"`
	// Desired is the request after all rules, DesiredLimit the limit that goes with it; nil when there is none.
	Desired      *float64 `json:"desired,omitempty"`
	DesiredLimit *float64 `json:"desiredLimit,omitempty"`
	// Model is the estimator that decided.
	Model string `json:"model,omitempty"`
	// Confidence is from 0 to 1.
	Confidence float64 `json:"confidence"`
	State      State   `json:"state"`
	Reason     string  `json:"reason,omitempty"`
	// Verdicts are what each rule said about this size.
	Verdicts []SizeVerdict `json:"verdicts,omitempty"`
}

// SizeVerdict is what one rule said about a size. From is the request before the rule and To the one after it, in cores or bytes.
type SizeVerdict struct {
	Rule   string `json:"rule"`
	Action Action `json:"action"`
	// Code is a stable word for the reason.
	Code   string  `json:"code"`
	From   float64 `json:"from"`
	To     float64 `json:"to"`
	Reason string  `json:"reason"`
}

// Method is how a pod gets another size.
type Method string

const (
	// InPlace changes the running pod.
	InPlace Method = "InPlace"
	// Evict removes the pod, so that its controller makes another one.
	Evict Method = "Evict"
	// Surge rolls the workload out, so that the new pod is ready before the old one goes.
	Surge Method = "Surge"
)

// Result is what came of an action on a pod.
type Result string

const (
	// Done means that the change was accepted; for a resize in place, that the node carried it out.
	Done Result = "Done"
	// Pending means that the node has not carried it out yet.
	Pending Result = "Pending"
	// Deferred means that the node has no room now.
	Deferred Result = "Deferred"
	// Infeasible means that the node can never carry it out.
	Infeasible Result = "Infeasible"
	// Blocked means that a budget, a rule or a PodDisruptionBudget forbids it for now.
	Blocked Result = "Blocked"
	// Refused means that the API server did not accept it.
	Refused Result = "Refused"
)

// PodAction is what was done to one pod.
type PodAction struct {
	Pod    string `json:"pod"`
	Method Method `json:"method"`
	Result Result `json:"result"`
	// Code is a stable word for the reason, such as PodDisruptionBudget or MaxUnavailable.
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// sameSizes reports whether two vertical records are the same decision: the same sizes in force and wanted, and the same done to
// the same pods. Recommendations move with every sample, so they count by what the rules made of them.
func sameSizes(a, b *Record) bool {
	if a.Direction != b.Direction || len(a.Sizes) != len(b.Sizes) || len(a.Pods) != len(b.Pods) {
		return false
	}
	for i := range a.Sizes {
		s, t := &a.Sizes[i], &b.Sizes[i]
		if s.Container != t.Container || s.Role != t.Role || s.Resource != t.Resource || s.State != t.State ||
			!equal(s.Request, t.Request) || !equal(s.Limit, t.Limit) || !equal(s.Desired, t.Desired) || !equal(s.DesiredLimit, t.DesiredLimit) {
			return false
		}
	}
	for i := range a.Pods {
		p, q := &a.Pods[i], &b.Pods[i]
		if p.Pod != q.Pod || p.Method != q.Method || p.Result != q.Result || p.Code != q.Code {
			return false
		}
	}
	return true
}

func equal(a, b *float64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
