package ingest

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/yagura-dev/yagura/query/columnar"
)

func attributes(t *testing.T, m map[string]any) pcommon.Map {
	t.Helper()
	out := pcommon.NewMap()
	require.NoError(t, out.FromRaw(m))
	return out
}

func TestStreamLabels(t *testing.T) {
	for name, c := range map[string]struct {
		resource map[string]any
		want     string
		tenant   columnar.Tenant
	}{
		"all six": {
			resource: map[string]any{
				"service.name": "checkout", "k8s.cluster.name": "east", "k8s.namespace.name": "shop", "k8s.pod.name": "checkout-1",
				"k8s.container.name": "main", "k8s.node.name": "n1", "host.name": "ignored",
			},
			want:   `{cluster="east", container="main", namespace="shop", node="n1", pod="checkout-1", service_name="checkout"}`,
			tenant: columnar.Tenant{Cluster: "east", Namespace: "shop"},
		},
		"one":                       {resource: map[string]any{"k8s.pod.name": "p"}, want: `{pod="p"}`},
		"none":                      {resource: map[string]any{"host.name": "h"}, want: `{service_name="unknown_service"}`},
		"empty values do not count": {resource: map[string]any{"service.name": ""}, want: `{service_name="unknown_service"}`},
		"a number":                  {resource: map[string]any{"service.name": int64(7)}, want: `{service_name="7"}`},
		"our names are not theirs":  {resource: map[string]any{"namespace": "x"}, want: `{service_name="unknown_service"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := StreamLabels(attributes(t, c.resource))
			require.Equal(t, c.want, got.String())
			require.Equal(t, c.tenant, TenantOf(got))
		})
	}
}

func TestFieldName(t *testing.T) {
	for in, want := range map[string]string{
		"http.request.method": "http_request_method",
		"already_fine":        "already_fine",
		"a-b/c d":             "a_b_c_d",
		"9lives":              "_9lives",
		"9":                   "_9",
		"ñ":                   "__",
		"":                    "",
		".":                   "_",
		"A1":                  "A1",
	} {
		require.Equal(t, want, FieldName(in), "%q", in)
	}
}

func TestLogRow(t *testing.T) {
	resource := attributes(t, map[string]any{"service.name": "s", "host.name": "h"})
	scope := pcommon.NewInstrumentationScope()
	scope.SetName("lib")
	scope.SetVersion("1.2")
	scope.Attributes().PutStr("scope.attr", "x")
	rec := plog.NewLogRecord()
	rec.SetTimestamp(5)
	rec.SetObservedTimestamp(6)
	rec.SetTraceID(pcommon.TraceID{1, 2})
	rec.SetSpanID(pcommon.SpanID{3})
	rec.SetSeverityText("WARN")
	rec.SetSeverityNumber(plog.SeverityNumberWarn)
	rec.SetFlags(1)
	rec.SetEventName("order.placed")
	require.NoError(t, rec.Attributes().FromRaw(map[string]any{"code": int64(3)}))
	require.NoError(t, rec.Body().FromRaw(map[string]any{"b": int64(1), "a": []any{true, "x"}}))

	row := logRow(rec, resourceFields(resource, scope), 99)
	require.Equal(t, int64(5), row.Timestamp)
	require.Equal(t, `{"a":[true,"x"],"b":1}`, row.Line)
	require.Equal(t, []columnar.Field{
		{Name: "host_name", Value: "h"},
		{Name: "scope_name", Value: "lib"},
		{Name: "scope_version", Value: "1.2"},
		{Name: "scope_attr", Value: "x"},
		{Name: "code", Value: "3", Type: columnar.Int},
		{Name: "trace_id", Value: "01020000000000000000000000000000"},
		{Name: "span_id", Value: "0300000000000000"},
		{Name: "severity_text", Value: "WARN"},
		{Name: "severity_number", Value: "13", Type: columnar.Int},
		{Name: "flags", Value: "1", Type: columnar.Int},
		{Name: "event_name", Value: "order.placed"},
	}, row.Fields)

	rec.SetTimestamp(0)
	require.Equal(t, int64(6), logRow(rec, nil, 99).Timestamp, "observed stands in")
	rec.SetObservedTimestamp(0)
	require.Equal(t, int64(99), logRow(rec, nil, 99).Timestamp, "now stands in")
}

func TestFieldOfEveryType(t *testing.T) {
	for name, c := range map[string]struct {
		in   any
		want columnar.Field
	}{
		"string": {"x", columnar.Field{Value: "x"}},
		"int":    {int64(-4), columnar.Field{Value: "-4", Type: columnar.Int}},
		"float":  {1e21, columnar.Field{Value: "1e+21", Type: columnar.Float}},
		"bool":   {true, columnar.Field{Value: "true", Type: columnar.Bool}},
		"bytes":  {[]byte{0xff, 0}, columnar.Field{Value: "/wA=", Type: columnar.Bytes}},
		"array":  {[]any{"a", int64(1)}, columnar.Field{Value: `["a",1]`, Type: columnar.JSON}},
		"map":    {map[string]any{"k": []any{}}, columnar.Field{Value: `{"k":[]}`, Type: columnar.JSON}},
		"unset":  {nil, columnar.Field{}},
	} {
		t.Run(name, func(t *testing.T) {
			v := pcommon.NewValueEmpty()
			require.NoError(t, v.FromRaw(c.in))
			require.Equal(t, c.want, fieldOf("", v))
		})
	}
}

func TestMapMetricResource(t *testing.T) {
	r := attributes(t, map[string]any{
		"service.name": "s", "service.namespace": "sn", "k8s.namespace.name": "shop", "namespace": "literal",
		"k8s.pod.name": "", "host.name": "h",
	})
	taken := mapMetricResource(r)
	require.Equal(t, map[string]bool{"service_name": true, "namespace": true}, taken)
	require.Equal(t, map[string]any{
		"service.name": "s", "service_name": "s", "service.namespace": "sn", "namespace": "shop",
		"exported_namespace": "literal", "host.name": "h",
	}, r.AsRaw())

	only := attributes(t, map[string]any{"service.name": "s", "service.instance.id": "i"})
	mapMetricResource(only)
	require.Equal(t, map[string]any{"service.name": "s", "service.instance.id": "i"}, only.AsRaw(), "target_info would say nothing new")

	a := attributes(t, map[string]any{"namespace": "of the point", "service.name": "x", "pod": "kept: the resource has none", "code": int64(1)})
	mapMetricAttributes(a, taken)
	require.Equal(t, map[string]any{
		"exported_namespace": "of the point", "exported_service_name": "x", "pod": "kept: the resource has none", "code": int64(1),
	}, a.AsRaw())
}
