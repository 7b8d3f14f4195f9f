package traces

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// OTLP is the trace as OTLP's message: spans of equal resource and scope stand
// together, in the order of the first of them.
func (t Trace) OTLP() (ptrace.Traces, error) {
	out := ptrace.NewTraces()
	resources := map[string]ptrace.ResourceSpans{}
	scopes := map[string]ptrace.ScopeSpans{}
	for _, s := range t.Spans {
		resource := groupKey(s.ResourceAttributes, strconv.FormatUint(uint64(s.ResourceDroppedAttributes), 10))
		rs, ok := resources[resource]
		if !ok {
			rs = out.ResourceSpans().AppendEmpty()
			resources[resource] = rs
		}
		scope := resource + groupKey(s.ScopeAttributes, s.ScopeName, s.ScopeVersion, strconv.FormatUint(uint64(s.ScopeDroppedAttributes), 10))
		ss, ok := scopes[scope]
		if !ok {
			ss = rs.ScopeSpans().AppendEmpty()
			scopes[scope] = ss
		}
		if err := s.ToOTLP(rs.Resource(), ss.Scope(), ss.Spans().AppendEmpty()); err != nil {
			return out, fmt.Errorf("span %s of trace %s: %w", s.SpanID, t.ID, err)
		}
	}
	return out, nil
}

// groupKey is equal for equal attributes, whatever their order.
func groupKey(as []Attribute, more ...string) string {
	if !slices.IsSortedFunc(as, byKey) {
		as = slices.Clone(as)
		slices.SortStableFunc(as, byKey)
	}
	var b strings.Builder
	field := func(s string) {
		b.WriteString(strconv.Itoa(len(s)))
		b.WriteByte(':')
		b.WriteString(s)
	}
	for _, s := range more {
		field(s)
	}
	b.WriteString(strconv.Itoa(len(as)))
	for _, a := range as {
		field(a.Key)
		b.WriteByte(byte(a.Type))
		field(a.Text)
	}
	return b.String()
}

func byKey(a, b Attribute) int { return strings.Compare(a.Key, b.Key) }
