package traceql

import "slices"

// unknownService is what a root's service is called that has no name.
const unknownService = "unknown_service"

// Span is a span of a trace.
type Span struct {
	ID, ParentID [8]byte // all zeros for none
	Start, End   int64   // Unix nanoseconds
	Values       Values
}

// Trace is the spans of one trace with what lies between them. It is immutable after
// NewTrace.
type Trace struct {
	Spans []Span

	parent      []int // index of the parent, -1 for none
	children    []int // how many
	left, right []int // of the nested sets, 0 for spans of a cycle
	preorder    []int // indexes, parents before their children; without cycles
	root        int   // -1 for none
	start, end  int64
}

// NewTrace relates spans by their ids. Of several spans with one id the first is the
// parent of those that name it; a span that names itself or stands in a cycle has no
// ancestors.
func NewTrace(spans []Span) *Trace {
	t := &Trace{Spans: spans, parent: make([]int, len(spans)), children: make([]int, len(spans)), root: -1}
	byID := make(map[[8]byte]int, len(spans))
	for i := len(spans) - 1; i >= 0; i-- {
		byID[spans[i].ID] = i
	}
	for i, s := range spans {
		t.parent[i] = -1
		if s.ParentID == ([8]byte{}) {
			if t.root < 0 || s.Start < spans[t.root].Start {
				t.root = i
			}
		} else if p, ok := byID[s.ParentID]; ok && p != i {
			t.parent[i] = p
			t.children[p]++
		}
		if i == 0 || s.Start < t.start {
			t.start = s.Start
		}
		if i == 0 || s.End > t.end {
			t.end = s.End
		}
	}
	t.number()
	return t
}

// Root is the index of the first span without a parent's id, or -1.
func (t *Trace) Root() int { return t.root }

// Parent is the index of a span's parent, or -1.
func (t *Trace) Parent(i int) int { return t.parent[i] }

// Bounds are the earliest start and the latest end, Unix nanoseconds.
func (t *Trace) Bounds() (start, end int64) { return t.start, t.end }

// Values are those of a field on span i.
func (t *Trace) Values(f Field, i int) []Value {
	s := scope{span: t.Spans[i].Values, trace: t, index: i}
	return s.values(&f, nil)
}

// number walks the trees from their tops and counts on the way down and on the way up,
// which makes an interval of each span that lies within those of its ancestors.
func (t *Trace) number() {
	n := len(t.Spans)
	t.left, t.right = make([]int, n), make([]int, n)
	t.preorder = make([]int, 0, n)
	// Children by parent, as lists within two slices.
	head, next := make([]int, n), make([]int, n)
	for i := range head {
		head[i] = -1
	}
	for i := n - 1; i >= 0; i-- {
		if p := t.parent[i]; p >= 0 {
			next[i] = head[p]
			head[p] = i
		}
	}
	count := 0
	var stack []int
	for top := range n {
		if t.parent[top] >= 0 {
			continue
		}
		stack = append(stack[:0], top)
		for len(stack) > 0 {
			i := stack[len(stack)-1]
			if t.left[i] == 0 {
				count++
				t.left[i] = count
				t.preorder = append(t.preorder, i)
			}
			if c := head[i]; c >= 0 {
				head[i] = next[c]
				stack = append(stack, c)
				continue
			}
			count++
			t.right[i] = count
			stack = stack[:len(stack)-1]
		}
	}
}

// values are those of the intrinsics that need the trace.
func (t *Trace) values(f *Field, i int, dst []Value) []Value {
	switch f.Intrinsic {
	case ChildCount:
		return append(dst, IntValue(int64(t.children[i])))
	case NestedSetLeft:
		return append(dst, IntValue(int64(t.left[i])))
	case NestedSetRight:
		return append(dst, IntValue(int64(t.right[i])))
	case NestedSetParent:
		if t.Spans[i].ParentID == ([8]byte{}) {
			return append(dst, IntValue(-1))
		}
		if p := t.parent[i]; p >= 0 {
			return append(dst, IntValue(int64(t.left[p])))
		}
		return append(dst, IntValue(0))
	case TraceDuration:
		return append(dst, DurationValue(t.end-t.start))
	case RootName:
		if t.root >= 0 {
			return append(dst, StringValue(t.RootName()))
		}
	case RootServiceName:
		if t.root >= 0 {
			return append(dst, StringValue(t.RootService()))
		}
	}
	return dst
}

// RootName is the name of the root span, empty without one.
func (t *Trace) RootName() string {
	if t.root < 0 {
		return ""
	}
	f := intrinsicField("name")
	return t.text(t.root, &f)
}

// RootService is the service.name of the root span, empty without one.
func (t *Trace) RootService() string {
	if t.root < 0 {
		return ""
	}
	return t.Service(t.root)
}

// Service is the service.name of the resource of span i.
func (t *Trace) Service(i int) string {
	f := Attribute(ResourceScope, "service.name")
	if s := t.text(i, &f); s != "" {
		return s
	}
	return unknownService
}

func (t *Trace) text(i int, f *Field) string {
	var buf [1]Value
	if vs := t.Spans[i].Values.Values(f, buf[:0]); len(vs) > 0 {
		return vs[0].String()
	}
	return ""
}

// related returns, of the candidates, those that stand in the relation of a plain
// structural operator to one of the spans.
func (t *Trace) related(op Op, spans, candidates []int) map[int]bool {
	in := make([]bool, len(t.Spans))
	for _, i := range spans {
		in[i] = true
	}
	var hit []bool
	switch op {
	case OpChild:
		hit = make([]bool, len(t.Spans))
		for _, i := range candidates {
			hit[i] = t.parent[i] >= 0 && in[t.parent[i]]
		}
	case OpParent:
		hit = make([]bool, len(t.Spans))
		for _, i := range spans {
			if p := t.parent[i]; p >= 0 {
				hit[p] = true
			}
		}
	case OpDescendant:
		hit = make([]bool, len(t.Spans))
		for _, i := range t.preorder {
			if p := t.parent[i]; p >= 0 {
				hit[i] = in[p] || hit[p]
			}
		}
	case OpAncestor:
		hit = make([]bool, len(t.Spans))
		for _, i := range slices.Backward(t.preorder) {
			if p := t.parent[i]; p >= 0 && (in[i] || hit[i]) {
				hit[p] = true
			}
		}
	case OpSibling:
		hit = t.siblings(spans, in)
	}
	out := make(map[int]bool, len(candidates))
	for _, i := range candidates {
		if hit[i] {
			out[i] = true
		}
	}
	return out
}

// siblings marks the spans that share their parent's id with another one of spans.
// Roots are nobody's siblings.
func (t *Trace) siblings(spans []int, in []bool) []bool {
	byParent := map[[8]byte]int{}
	for _, i := range spans {
		if id := t.Spans[i].ParentID; id != ([8]byte{}) {
			byParent[id]++
		}
	}
	hit := make([]bool, len(t.Spans))
	for i, s := range t.Spans {
		n := byParent[s.ParentID]
		if in[i] {
			n--
		}
		hit[i] = n > 0
	}
	return hit
}
