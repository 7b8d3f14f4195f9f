package ingest

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/yagura-dev/yagura/query/columnar"
)

// This file is the one mapping from OpenTelemetry's names to ours, for logs,
// metrics and spans alike, so that a click leads from one to the other:
//
//	resource attribute     label
//	service.name           service_name
//	k8s.cluster.name       cluster
//	k8s.namespace.name     namespace
//	k8s.pod.name           pod
//	k8s.container.name     container
//	k8s.node.name          node
//
// These six are the stream labels of logs and spans and stand on every metric.
// Everything else that a log record brings is a field of its row, with the name
// of its attribute and underscores for what a label name cannot hold: resource,
// scope and log attributes in this order, scope_name, scope_version, trace_id,
// span_id, severity_text, severity_number, flags and event_name. A span's fields
// are the business of query/traces.
var mappedAttributes = [...]struct{ attribute, label string }{
	{"service.name", "service_name"},
	{"k8s.cluster.name", "cluster"},
	{"k8s.namespace.name", "namespace"},
	{"k8s.pod.name", "pod"},
	{"k8s.container.name", "container"},
	{"k8s.node.name", "node"},
}

// unknownService is the service_name of logs and spans whose resource says
// nothing about where they come from; a stream needs at least one label.
const unknownService = "unknown_service"

// labelOf returns the label that a resource attribute maps to, or "".
func labelOf(attribute string) string {
	for _, m := range mappedAttributes {
		if m.attribute == attribute {
			return m.label
		}
	}
	return ""
}

func isMappedLabel(name string) bool {
	for _, m := range mappedAttributes {
		if m.label == name {
			return true
		}
	}
	return false
}

// StreamLabels are the labels of the stream that a resource's logs or spans go
// to.
func StreamLabels(resource pcommon.Map) labels.Labels {
	b := labels.NewScratchBuilder(len(mappedAttributes))
	n := 0
	for _, m := range mappedAttributes {
		if v, ok := resource.Get(m.attribute); ok {
			if s := v.AsString(); s != "" {
				b.Add(m.label, s)
				n++
			}
		}
	}
	if n == 0 {
		b.Add("service_name", unknownService)
	}
	b.Sort()
	return b.Labels()
}

// TenantOf is whose rows a stream's are.
func TenantOf(stream labels.Labels) columnar.Tenant {
	return columnar.Tenant{Cluster: stream.Get("cluster"), Namespace: stream.Get("namespace")}
}

// FieldName is the name of the field that an attribute becomes: every byte that a
// label name cannot hold is an underscore, and one that begins with a digit gets
// one in front.
func FieldName(attribute string) string {
	valid := func(i int, c byte) bool {
		return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9'
	}
	i := 0
	for i < len(attribute) && valid(i, attribute[i]) {
		i++
	}
	if i == len(attribute) {
		return attribute
	}
	var b strings.Builder
	b.Grow(len(attribute) + 1)
	if c := attribute[0]; c >= '0' && c <= '9' {
		b.WriteByte('_')
	}
	for i := range len(attribute) {
		if c := attribute[i]; valid(1, c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('_')
		}
	}
	return b.String()
}

// fieldOf is an attribute as a field. Arrays and maps are JSON.
func fieldOf(name string, v pcommon.Value) columnar.Field {
	f := columnar.Field{Name: name}
	switch v.Type() {
	case pcommon.ValueTypeInt:
		f.Value, f.Type = strconv.FormatInt(v.Int(), 10), columnar.Int
	case pcommon.ValueTypeDouble:
		f.Value, f.Type = strconv.FormatFloat(v.Double(), 'g', -1, 64), columnar.Float
	case pcommon.ValueTypeBool:
		f.Value, f.Type = strconv.FormatBool(v.Bool()), columnar.Bool
	case pcommon.ValueTypeBytes:
		f.Value, f.Type = base64.StdEncoding.EncodeToString(v.Bytes().AsRaw()), columnar.Bytes
	case pcommon.ValueTypeMap, pcommon.ValueTypeSlice:
		f.Value, f.Type = v.AsString(), columnar.JSON
	default:
		f.Value = v.AsString()
	}
	return f
}

// resourceFields are the fields that every log record of a resource and scope
// shares.
func resourceFields(resource pcommon.Map, scope pcommon.InstrumentationScope) []columnar.Field {
	var fs []columnar.Field
	for k, v := range resource.All() {
		if labelOf(k) == "" {
			fs = append(fs, fieldOf(FieldName(k), v))
		}
	}
	if n := scope.Name(); n != "" {
		fs = append(fs, columnar.Field{Name: "scope_name", Value: n})
	}
	if v := scope.Version(); v != "" {
		fs = append(fs, columnar.Field{Name: "scope_version", Value: v})
	}
	for k, v := range scope.Attributes().All() {
		fs = append(fs, fieldOf(FieldName(k), v))
	}
	return fs
}

// logRow is a log record as a row. shared are its resourceFields; now is in Unix
// nanoseconds and stands in when the record carries no time.
func logRow(rec plog.LogRecord, shared []columnar.Field, now int64) columnar.Row {
	fs := make([]columnar.Field, 0, len(shared)+rec.Attributes().Len()+6)
	fs = append(fs, shared...)
	for k, v := range rec.Attributes().All() {
		fs = append(fs, fieldOf(FieldName(k), v))
	}
	if id := rec.TraceID(); !id.IsEmpty() {
		fs = append(fs, columnar.Field{Name: "trace_id", Value: hex.EncodeToString(id[:])})
	}
	if id := rec.SpanID(); !id.IsEmpty() {
		fs = append(fs, columnar.Field{Name: "span_id", Value: hex.EncodeToString(id[:])})
	}
	if s := rec.SeverityText(); s != "" {
		fs = append(fs, columnar.Field{Name: "severity_text", Value: s})
	}
	if n := rec.SeverityNumber(); n != plog.SeverityNumberUnspecified {
		fs = append(fs, columnar.Field{Name: "severity_number", Value: strconv.Itoa(int(n)), Type: columnar.Int})
	}
	if f := rec.Flags(); f != 0 {
		fs = append(fs, columnar.Field{Name: "flags", Value: strconv.FormatUint(uint64(f), 10), Type: columnar.Int})
	}
	if n := rec.EventName(); n != "" {
		fs = append(fs, columnar.Field{Name: "event_name", Value: n})
	}
	at := int64(rec.Timestamp())
	if rec.Timestamp() == 0 {
		at = int64(rec.ObservedTimestamp())
	}
	if rec.Timestamp() == 0 && rec.ObservedTimestamp() == 0 {
		at = now
	}
	// A body that is no string is JSON: a map becomes an object.
	return columnar.Row{Timestamp: at, Line: rec.Body().AsString(), Fields: fs}
}

// overriddenPrefix marks an attribute whose own label name is taken by one of the
// six, as Prometheus does when a scraped label collides with a target's.
const overriddenPrefix = "exported_"

// mapMetricResource renames a resource's attributes so that the conversion to
// Prometheus, which promotes promotedAttributes to labels, yields the six. The
// attribute service.name stays, since the label job comes from it; a copy under
// its label's name is for target_info, which leaves out the original, and is made
// only when target_info has more to say. It returns the labels that now come from
// the resource.
func mapMetricResource(resource pcommon.Map) map[string]bool {
	taken := make(map[string]bool, len(mappedAttributes))
	out := pcommon.NewMap()
	out.EnsureCapacity(resource.Len() + 1)
	described := false // by more than what the labels job and instance say
	for k, v := range resource.All() {
		switch label := labelOf(k); {
		case k == "":
			continue
		case label != "" && v.AsString() != "":
			taken[label] = true
			if label == "service_name" {
				out.PutStr(k, v.AsString())
			} else {
				out.PutStr(label, v.AsString())
				described = true
			}
		case label == "" && isMappedLabel(FieldName(k)):
			v.CopyTo(out.PutEmpty(overriddenPrefix + FieldName(k)))
			described = true
		case label == "":
			v.CopyTo(out.PutEmpty(k))
			described = described || k != "service.namespace" && k != "service.instance.id"
		}
	}
	if service, ok := out.Get("service.name"); ok && described {
		out.PutStr("service_name", service.AsString())
	}
	out.MoveTo(resource)
	return taken
}

// promotedAttributes are what mapMetricResource leaves for the conversion to
// promote to labels of every metric.
func promotedAttributes() []string {
	names := []string{"service.name"}
	for _, m := range mappedAttributes {
		names = append(names, m.label)
	}
	return names
}

// mapMetricAttributes renames the attributes of a data point that would hide one
// of the labels that come from its resource.
func mapMetricAttributes(attributes pcommon.Map, taken map[string]bool) {
	if len(taken) == 0 {
		return
	}
	var hidden []string
	for k := range attributes.All() {
		if taken[FieldName(k)] {
			hidden = append(hidden, k)
		}
	}
	for _, k := range hidden {
		v, _ := attributes.Get(k)
		moved := pcommon.NewValueEmpty()
		v.CopyTo(moved)
		attributes.Remove(k)
		moved.CopyTo(attributes.PutEmpty(overriddenPrefix + FieldName(k)))
	}
}
