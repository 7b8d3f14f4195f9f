package otlp

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/yagura-dev/yagura/collector/queue"
)

func TestResourceThatIsMissingOrComesTwice(t *testing.T) {
	complete := func(resource) []attribute { return []attribute{{"k8s.cluster.name", "dev"}, {"k8s.pod.name", "p"}} }
	field := func(number protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
	}
	attr := func(key, value string) []byte { return appendAttribute(nil, attribute{key, value}) }
	for name, test := range map[string]struct {
		one  []byte
		want map[string]any
	}{
		"missing": {field(3, []byte("schema")), map[string]any{"k8s.cluster.name": "dev", "k8s.pod.name": "p"}},
		"empty":   {field(1, nil), map[string]any{"k8s.cluster.name": "dev", "k8s.pod.name": "p"}},
		"twice, which protobuf merges": {
			append(append(field(1, attr("k8s.pod.name", "mine")), field(3, []byte("schema"))...), field(1, attr("a", "b"))...),
			map[string]any{"k8s.cluster.name": "dev", "k8s.pod.name": "mine", "a": "b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, resources, err := rewrite(nil, field(1, test.one), resourceSchema(Logs), complete)
			require.NoError(t, err)
			require.Equal(t, 1, resources)
			require.Equal(t, test.want, resourceOf(t, out))
		})
	}
}

// decoders are what reads the request later.
var decoders = map[Signal]func([]byte) error{
	Logs:    func(b []byte) error { return plogotlp.NewExportRequest().UnmarshalProto(b) },
	Traces:  func(b []byte) error { return ptraceotlp.NewExportRequest().UnmarshalProto(b) },
	Metrics: func(b []byte) error { return pmetricotlp.NewExportRequest().UnmarshalProto(b) },
}

// FuzzRewrite checks what the receiver promises a sender: a request that it
// accepts is one that decodes, before and after attributes were added, and
// nothing but those attributes differs.
func FuzzRewrite(f *testing.F) {
	for _, s := range newSignals() {
		for _, name := range []string{"logs.json", "events.json", "trace.json", "metrics.json"} {
			if body, err := s.fromJSON(example(f, name)); err == nil {
				f.Add(uint8(1), body)
				f.Add(uint8(2), body)
				f.Add(uint8(3), body)
			}
		}
	}
	f.Add(uint8(1), []byte("\x0a\x04\x12\x02\x10\x07"))
	schemas := map[Signal]*message{Logs: resourceSchema(Logs), Traces: resourceSchema(Traces), Metrics: resourceSchema(Metrics)}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		s := Signal(which%3 + 1)
		same, resources, err := rewrite(nil, body, schemas[s], func(resource) []attribute { return nil })
		if err != nil {
			return
		}
		if err := decoders[s](body); err != nil {
			t.Fatalf("accepted what does not decode: %v", err)
		}
		if err := decoders[s](same); err != nil {
			t.Fatalf("the copy does not decode: %v", err)
		}
		added, again, err := rewrite(nil, body, schemas[s], func(resource) []attribute {
			return []attribute{{attrCluster, "dev"}, {attrNode, "n"}}
		})
		if err != nil || again != resources {
			t.Fatalf("%d resources, then %d: %v", resources, again, err)
		}
		if err := decoders[s](added); err != nil {
			t.Fatalf("does not decode with added attributes: %v", err)
		}
		if s == Logs {
			compareLogs(t, body, added)
		}
	})
}

// compareLogs says that two requests are the same but for added attributes.
func compareLogs(t *testing.T, before, after []byte) {
	a, b := plogotlp.NewExportRequest(), plogotlp.NewExportRequest()
	require.NoError(t, a.UnmarshalProto(before))
	require.NoError(t, b.UnmarshalProto(after))
	require.Equal(t, a.Logs().ResourceLogs().Len(), b.Logs().ResourceLogs().Len())
	for i := range a.Logs().ResourceLogs().Len() {
		x, y := a.Logs().ResourceLogs().At(i).Resource().Attributes(), b.Logs().ResourceLogs().At(i).Resource().Attributes()
		for _, key := range []string{attrCluster, attrNode} {
			_, had := x.Get(key)
			value, has := y.Get(key)
			require.True(t, has, "%s was there or was added", key)
			if !had {
				require.Equal(t, pcommon.ValueTypeStr, value.Type())
				y.RemoveIf(func(k string, _ pcommon.Value) bool { return k == key })
			}
		}
	}
	first, err := a.MarshalProto()
	require.NoError(t, err)
	second, err := b.MarshalProto()
	require.NoError(t, err)
	require.True(t, bytes.Equal(first, second), "something else changed")
}

// FuzzReadBody checks that no body is taken for larger than allowed, whatever its
// coding claims.
func FuzzReadBody(f *testing.F) {
	body := bytes.Repeat([]byte("hello"), 1000)
	f.Add("", body)
	f.Add("gzip", gzipped(f, body))
	f.Add("zstd", []byte("\x28\xb5\x2f\xfd\x04\x00\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, coding string, content []byte) {
		const limit = 4096
		got, err := readBody(bytes.NewReader(content), coding, limit)
		if err == nil && len(got) > limit {
			t.Fatalf("%d bytes", len(got))
		}
	})
}

// FuzzJSON checks that a JSON request is refused or turned into one that is
// accepted, and never more.
func FuzzJSON(f *testing.F) {
	signals := newSignals()
	for _, name := range []string{"logs.json", "events.json", "trace.json", "metrics.json"} {
		f.Add(example(f, name))
	}
	f.Add([]byte(`{"resourceLogs":[{"resource":null,"scopeLogs":[{"logRecords":[{"traceId":"xyz"}]}]}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		for i, s := range signals {
			body, err := s.fromJSON(content)
			if err != nil {
				continue
			}
			if out, _, err := rewrite(nil, body, s.schema, func(resource) []attribute { return nil }); err == nil {
				if err := decoders[Signal(i+1)](out); err != nil {
					t.Fatalf("%s does not decode: %v", s.name, err)
				}
			}
		}
	})
}

// BenchmarkAccept takes requests of 500 log records to a queue that takes all.
func BenchmarkAccept(b *testing.B) {
	data := plog.NewLogs()
	one := data.ResourceLogs().AppendEmpty()
	one.Resource().Attributes().PutStr("service.name", "checkout")
	records := one.ScopeLogs().AppendEmpty().LogRecords()
	for i := range 500 {
		record := records.AppendEmpty()
		record.SetTimestamp(pcommon.Timestamp(1_800_000_000_000_000_000 + i))
		record.Body().SetStr(fmt.Sprintf("GET /cart/%d 200 in %d ms", i, i%97))
		record.Attributes().PutStr("http.route", "/cart/{id}")
		record.Attributes().PutInt("http.response.status_code", 200)
	}
	body, err := plogotlp.NewExportRequestFromLogs(data).MarshalProto()
	require.NoError(b, err)
	r := idle(b, nil, discard{}, 10)
	b.Run("whole", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if refused := r.accept(b.Context(), r.signals[0], body, netip.Addr{}); refused != nil {
				b.Fatal(refused)
			}
		}
	})
	b.Run("check and complete", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		var out []byte
		for b.Loop() {
			out, _, err = rewrite(out[:0], body, r.signals[0].schema, func(resource) []attribute { return []attribute{{attrCluster, "dev"}} })
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode, for comparison", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if err := decoders[Logs](body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// discard is a queue that takes all.
type discard struct{}

func (discard) Append(context.Context, queue.Stream, []byte) error { return nil }
