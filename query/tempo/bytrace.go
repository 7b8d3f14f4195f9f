package tempo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/collector/pdata/ptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traceql"
	"github.com/yagura-dev/yagura/query/traces"
)

const protobufType = "application/protobuf"

// Trace returns all spans of a trace that start in [from, to), by start, or
// ErrNotFound. The id has 32 hexadecimal digits.
func (e *Engine) Trace(ctx context.Context, id string, from, to int64) ([]traces.Span, error) {
	var out []traces.Span
	err := e.run(ctx, func(ctx context.Context) (Stats, error) {
		var st Stats
		rows, err := e.traceRows(ctx, id, from, to, &st)
		if err != nil {
			return st, err
		}
		for _, r := range rows {
			s, err := traces.SpanFromRow(r.labels, columnar.Row{Timestamp: r.start, Fields: r.fields})
			if err != nil {
				return st, fmt.Errorf("trace %s: %w", id, err)
			}
			out = append(out, s)
		}
		return st, nil
	})
	return out, err
}

func (e *Engine) traceRows(ctx context.Context, id string, from, to int64, st *Stats) ([]*row, error) {
	var rows []*row
	names := interner{}
	s := []selection{{fields: []columnar.FieldPredicate{{Name: columnTraceID, Op: columnar.FieldEqual, Text: id}}}}
	err := e.scan(ctx, s, columnar.Columns{AllFields: true}, from, to, columnar.Forward, st, func(r *row) (bool, error) {
		if len(rows) >= e.cfg.MaxSpans {
			return false, &LimitError{Limit: "maxSpans", Detail: fmt.Sprintf("the trace has more than %d spans", e.cfg.MaxSpans)}
		}
		rows = append(rows, names.clone(r.labels, r.start, r.fields))
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, ErrNotFound
	}
	return withoutRepeats(rows), nil
}

// toOTLP brings spans back under their resources and scopes, both in the order in which
// the spans bring them.
func toOTLP(spans []traces.Span) (ptrace.Traces, error) {
	out := ptrace.NewTraces()
	resources := map[string]ptrace.ResourceSpans{}
	scopes := map[string]ptrace.ScopeSpans{}
	for _, s := range spans {
		resourceKey := attributesKey(s.ResourceAttributes, s.ResourceDroppedAttributes)
		rs, ok := resources[resourceKey]
		if !ok {
			rs = out.ResourceSpans().AppendEmpty()
			resources[resourceKey] = rs
		}
		scopeKey := fmt.Sprintf("%s %q %q %s", resourceKey, s.ScopeName, s.ScopeVersion, attributesKey(s.ScopeAttributes, s.ScopeDroppedAttributes))
		ss, ok := scopes[scopeKey]
		if !ok {
			ss = rs.ScopeSpans().AppendEmpty()
			scopes[scopeKey] = ss
		}
		if err := s.ToOTLP(rs.Resource(), ss.Scope(), ss.Spans().AppendEmpty()); err != nil {
			return out, fmt.Errorf("span %s: %w", s.SpanID, err)
		}
	}
	return out, nil
}

// attributesKey tells apart what differs in any attribute.
func attributesKey(as []traces.Attribute, dropped uint32) string {
	var b strings.Builder
	for _, a := range as {
		b.WriteString(strconv.Quote(a.Key) + "=" + strconv.Itoa(int(a.Type)) + strconv.Quote(a.Text) + ",")
	}
	return b.String() + strconv.FormatUint(uint64(dropped), 10)
}

// lookup answers for a trace by the id in the path.
func (a *API) lookup(ctx context.Context, c echo.Context, form url.Values, keep spanKeeper) (ptrace.Traces, error) {
	text, err := pathParam(c, "id")
	if err != nil {
		return ptrace.Traces{}, err
	}
	id, err := traceID(text)
	if err != nil {
		return ptrace.Traces{}, err
	}
	from, to, err := lookupWindow(form)
	if err != nil {
		return ptrace.Traces{}, err
	}
	spans, err := a.engine.Trace(ctx, id, from, to)
	if err == nil && keep != nil {
		// Evaluating is a query's work, within its bounds.
		err = a.engine.run(ctx, func(ctx context.Context) (st Stats, err error) {
			spans, err = keep(ctx, spans)
			return st, err
		})
	}
	if err != nil {
		return ptrace.Traces{}, err
	}
	return toOTLP(spans)
}

// lookupWindow is where to look for a trace when the client knows, which must name both
// ends; else everywhere. Spans of a trace may start some time around what it knows.
func lookupWindow(form url.Values) (from, to int64, err error) {
	start, hasStart, err := seconds(form, "start")
	if err != nil {
		return 0, 0, err
	}
	end, hasEnd, err := seconds(form, "end")
	if err != nil {
		return 0, 0, err
	}
	if !hasStart || !hasEnd {
		return math.MinInt64, math.MaxInt64, nil
	}
	if start > end {
		return 0, 0, badParam("start", errors.New("it is after end"))
	}
	return start * int64(time.Second), (end + 1) * int64(time.Second), nil
}

func (a *API) trace(ctx context.Context, c echo.Context, form url.Values) (answer, error) {
	td, err := a.lookup(ctx, c, form, nil)
	if err != nil {
		return answer{}, err
	}
	b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	if err != nil || wantsProtobuf(c) {
		return answer{protobufType, b}, err
	}
	return traceJSONAnswer(b, `{"batches":`, `}`)
}

func (a *API) traceV2(ctx context.Context, c echo.Context, form url.Values) (answer, error) {
	keep, err := spanFilter(form)
	if err != nil {
		return answer{}, err
	}
	td, err := a.lookup(ctx, c, form, keep)
	if err != nil {
		return answer{}, err
	}
	b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	if err != nil {
		return answer{}, err
	}
	if wantsProtobuf(c) {
		// A TraceByIDResponse has the trace as its field 1 and metrics as field 2.
		out := protowire.AppendTag(nil, 1, protowire.BytesType)
		out = protowire.AppendBytes(out, b)
		out = protowire.AppendTag(out, 2, protowire.BytesType)
		return answer{protobufType, protowire.AppendBytes(out, nil)}, nil
	}
	return traceJSONAnswer(b, `{"trace":{"resourceSpans":`, `},"metrics":{}}`)
}

func wantsProtobuf(c echo.Context) bool {
	return strings.Contains(c.Request().Header.Get(echo.HeaderAccept), protobufType)
}

// traceJSONAnswer writes a trace in the JSON encoding of its protobuf messages, as Tempo
// does: ids are base64, enums are names. (OTLP's own JSON has ids in hexadecimal digits
// and enums as numbers.)
func traceJSONAnswer(wire []byte, before, after string) (answer, error) {
	var td tracepb.TracesData
	if err := proto.Unmarshal(wire, &td); err != nil {
		return answer{}, fmt.Errorf("encode trace: %w", err)
	}
	b, err := protojson.Marshal(&td)
	if err != nil {
		return answer{}, fmt.Errorf("encode trace: %w", err)
	}
	var raw struct {
		ResourceSpans json.RawMessage `json:"resourceSpans"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return answer{}, fmt.Errorf("encode trace: %w", err)
	}
	// protojson puts spaces at random so that nobody relies on them.
	var out bytes.Buffer
	out.WriteString(before)
	if err := json.Compact(&out, raw.ResourceSpans); err != nil {
		return answer{}, fmt.Errorf("encode trace: %w", err)
	}
	out.WriteString(after)
	return answer{echo.MIMEApplicationJSON, out.Bytes()}, nil
}

// spanKeeper leaves some of the spans of a trace, or says ErrNotFound.
type spanKeeper func(context.Context, []traces.Span) ([]traces.Span, error)

// spanFilter is what the parameter q leaves of a trace's spans: those that one filter
// selects and, unless keep_hierarchy is false, their ancestors. Nil leaves all.
func spanFilter(form url.Values) (spanKeeper, error) {
	text := form.Get("q")
	if text == "" {
		return nil, nil
	}
	q, err := parseQuery(text)
	if err != nil {
		return nil, err
	}
	var filter *traceql.Filter
	if len(q.Pipeline.Stages) == 1 && q.Metrics == nil {
		filter, _ = q.Pipeline.Stages[0].(*traceql.Filter)
	}
	if filter == nil {
		return nil, badParam("q", errors.New("only one filter, as { … }, can select spans of a trace"))
	}
	if filter.Expr == nil {
		return nil, nil
	}
	hierarchy := true
	if v := form.Get("keep_hierarchy"); v != "" {
		if hierarchy, err = strconv.ParseBool(v); err != nil {
			return nil, badParam("keep_hierarchy", fmt.Errorf("%q is neither true nor false", v))
		}
	}
	return func(ctx context.Context, spans []traces.Span) ([]traces.Span, error) {
		rows := make([]*row, len(spans))
		for i, s := range spans {
			rows[i] = &row{labels: s.Labels, start: s.Start, fields: s.Row().Fields}
		}
		t := loaded{rows: rows}.trace()
		keep := make([]bool, len(spans))
		sets, err := q.Pipeline.Evaluate(ctx, t)
		if err != nil {
			return nil, err
		}
		for _, set := range sets {
			for _, i := range set.Spans {
				for p, steps := i, 0; p >= 0 && steps <= len(spans); p, steps = t.Parent(p), steps+1 {
					keep[p] = true
					if !hierarchy {
						break
					}
				}
			}
		}
		var out []traces.Span
		for i, s := range spans {
			if keep[i] {
				out = append(out, s)
			}
		}
		if len(out) == 0 {
			return nil, ErrNotFound
		}
		return out, nil
	}, nil
}
