package ingest

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/traces"
)

const protocolZipkin = "zipkin"

// pushZipkin takes spans in Zipkin's JSON, version 2. Spans that are refused do not
// keep the others from being stored, and Zipkin has no answer that says so: then the
// body does.
func (g *Ingester) pushZipkin(c echo.Context) error {
	b, err := g.storeZipkin(c.Request())
	if r := g.finish(protocolZipkin, signalTraces, err); r != nil {
		return writePlainError(c, r)
	}
	switch {
	case b.refused.total == 0:
		return c.NoContent(http.StatusAccepted)
	case b.rows == 0:
		return c.String(http.StatusBadRequest, b.refused.message())
	}
	return c.String(http.StatusAccepted, b.refused.message())
}

func (g *Ingester) storeZipkin(req *http.Request) (*rowBatch, error) {
	id, err := ParseBatchID(req.Header.Get(BatchHeader))
	if err != nil {
		return nil, badBatchID(err)
	}
	if contentType := req.Header.Get("Content-Type"); contentType != "" {
		if media, _, err := mime.ParseMediaType(contentType); err != nil || media != typeJSON {
			return nil, unsupported("content type %q is not accepted; use %s", contentType, typeJSON)
		}
	}
	l := g.newLease()
	defer l.release()
	body, err := g.readBody(req, l)
	if err != nil {
		return nil, err
	}
	g.telemetry.bytes.WithLabelValues(protocolZipkin, signalTraces).Add(float64(len(body)))
	if err := g.fitJSON(body, l); err != nil {
		return nil, err
	}
	b := g.newRowBatch(id, columnar.Spans, signalTraces)
	if err := decodeZipkin(b, body); err != nil {
		return nil, undecodable(err)
	}
	return b, b.commit(req.Context())
}

func decodeZipkin(b *rowBatch, body []byte) error {
	var spans []zipkinSpan
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&spans); err != nil {
		return fmt.Errorf("decode Zipkin spans: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decode Zipkin spans: there is something after the JSON array")
	}
	for i := range spans {
		resource := spans[i].resource()
		stream := b.stream(StreamLabels(resource))
		span, err := spans[i].span(resource, b.now.UnixNano())
		if err != nil {
			b.refused.add(stream.tenant, reasonInvalidID, fmt.Sprintf("span %q: %v", short(spans[i].Name), err), 1)
			continue
		}
		b.add(stream, span.Row())
	}
	return nil
}

// zipkinSpan is Zipkin's model, version 2. Times are microseconds.
type zipkinSpan struct {
	TraceID        string            `json:"traceId"`
	ParentID       string            `json:"parentId"`
	ID             string            `json:"id"`
	Kind           string            `json:"kind"`
	Name           string            `json:"name"`
	Timestamp      uint64            `json:"timestamp"`
	Duration       uint64            `json:"duration"`
	Debug          bool              `json:"debug"`
	Shared         bool              `json:"shared"`
	LocalEndpoint  zipkinEndpoint    `json:"localEndpoint"`
	RemoteEndpoint zipkinEndpoint    `json:"remoteEndpoint"`
	Annotations    []zipkinNote      `json:"annotations"`
	Tags           map[string]string `json:"tags"`
}

type zipkinEndpoint struct {
	ServiceName string `json:"serviceName"`
	IPv4        string `json:"ipv4"`
	IPv6        string `json:"ipv6"`
	Port        int    `json:"port"`
}

type zipkinNote struct {
	Timestamp uint64 `json:"timestamp"`
	Value     string `json:"value"`
}

// The names by which OpenTelemetry's translators know what Zipkin has fields for,
// and Zipkin's tags what OTLP has fields for.
const (
	attrHostIP        = "net.host.ip"
	attrHostPort      = "net.host.port"
	attrPeerIP        = "net.peer.ip"
	attrPeerPort      = "net.peer.port"
	attrPeerService   = "peer.service"
	attrNoStart       = "otel.zipkin.absentField.startTime"
	attrShared        = "zipkin.shared"
	attrDebug         = "zipkin.debug"
	tagStatusCode     = "otel.status_code"
	tagStatusText     = "otel.status_description"
	tagError          = "error"
	tagKind           = "span.kind"
	tagTraceState     = "w3c.tracestate"
	tagScopeName      = "otel.scope.name"
	tagScopeVersion   = "otel.scope.version"
	tagLibraryName    = "otel.library.name"
	tagLibraryVersion = "otel.library.version"
)

// resourceTags are the beginnings of tags that tell of the process, not the span.
var resourceTags = [...]string{"service.", "k8s.", "container.", "host.", "cloud.", "process.", "telemetry.", "deployment.", "faas.", "os."}

func isResourceTag(key string) bool {
	return slices.ContainsFunc(resourceTags[:], func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// resource is the process that sent the span.
func (z *zipkinSpan) resource() pcommon.Map {
	m := pcommon.NewMap()
	for key, v := range z.Tags {
		if isResourceTag(key) {
			m.PutStr(key, v)
		}
	}
	if z.LocalEndpoint.ServiceName != "" {
		m.PutStr("service.name", z.LocalEndpoint.ServiceName)
	}
	return m
}

// span is the span in OTLP's terms. now is for one that says nothing about time. A
// shared span keeps the id that it shares with its caller's; the attribute says so.
func (z *zipkinSpan) span(resource pcommon.Map, now int64) (traces.Span, error) {
	s := traces.Span{Name: z.Name, Kind: z.kind()}
	if err := zipkinID(s.TraceID[:], z.TraceID); err != nil {
		return s, fmt.Errorf("traceId: %w", err)
	}
	if err := zipkinID(s.SpanID[:], z.ID); err != nil {
		return s, fmt.Errorf("id: %w", err)
	}
	if z.ParentID != "" {
		if err := zipkinID(s.ParentSpanID[:], z.ParentID); err != nil {
			return s, fmt.Errorf("parentId: %w", err)
		}
	}
	if s.TraceID.IsZero() || s.SpanID.IsZero() {
		return s, errors.New("it has no trace id or no span id")
	}
	for key, v := range resource.All() {
		s.ResourceAttributes = append(s.ResourceAttributes, traces.Attribute{Key: key, Text: v.Str()})
	}
	z.setTimes(&s, now)
	z.setTags(&s)
	z.setEndpoints(&s)
	return s, nil
}

// zipkinID reads hexadecimal digits, of which leading zeros may be missing.
func zipkinID(into []byte, text string) error {
	if n := 2 * len(into); len(text) > n || text == "" {
		return fmt.Errorf("%q does not have 1 to %d hexadecimal digits", short(text), n)
	}
	padded := strings.Repeat("0", 2*len(into)-len(text)) + text
	if _, err := hex.Decode(into, []byte(padded)); err != nil {
		return fmt.Errorf("%q is not hexadecimal", short(text))
	}
	return nil
}

func (z *zipkinSpan) kind() traces.Kind {
	switch strings.ToUpper(z.Kind) {
	case "CLIENT":
		return traces.KindClient
	case "SERVER":
		return traces.KindServer
	case "PRODUCER":
		return traces.KindProducer
	case "CONSUMER":
		return traces.KindConsumer
	}
	if strings.EqualFold(z.Tags[tagKind], traces.KindInternal.String()) {
		return traces.KindInternal
	}
	return traces.KindUnspecified
}

// zipkinNanos is negative, which is refused, for what an int64 cannot hold.
func zipkinNanos(micros uint64) int64 {
	if micros > math.MaxInt64/1000 {
		return -1
	}
	return int64(micros) * 1000
}

// setTimes has a span without a start begin with its first annotation, or now.
func (z *zipkinSpan) setTimes(s *traces.Span, now int64) {
	s.Start = zipkinNanos(z.Timestamp)
	for _, note := range z.Annotations {
		s.Events = append(s.Events, note.event())
	}
	if z.Timestamp == 0 {
		s.Start = now
		for _, e := range s.Events {
			if e.Time > 0 {
				s.Start = min(s.Start, e.Time)
			}
		}
		s.Attributes = append(s.Attributes, traces.Attribute{Key: attrNoStart, Text: "true", Type: columnar.Bool})
	}
	s.End = s.Start
	if d := zipkinNanos(z.Duration); d > 0 && d <= math.MaxInt64-max(s.Start, 0) {
		s.End += d
	}
}

// event undoes what OpenTelemetry's exporter makes of an event with attributes:
// name|{"key":"value"}|dropped.
func (n zipkinNote) event() traces.Event {
	e := traces.Event{Time: zipkinNanos(n.Timestamp), Name: n.Value}
	name, rest, ok := strings.Cut(n.Value, "|")
	end := strings.LastIndexByte(rest, '|')
	if !ok || end < 0 {
		return e
	}
	dropped, err := strconv.ParseUint(rest[end+1:], 10, 32)
	var attributes map[string]any
	if err != nil || json.Unmarshal([]byte(rest[:end]), &attributes) != nil {
		return e
	}
	e.Name, e.DroppedAttributes = name, uint32(dropped)
	for key, v := range attributes {
		switch v := v.(type) {
		case string:
			e.Attributes = append(e.Attributes, traces.Attribute{Key: key, Text: v})
		case bool:
			e.Attributes = append(e.Attributes, traces.Attribute{Key: key, Text: strconv.FormatBool(v), Type: columnar.Bool})
		case float64:
			e.Attributes = append(e.Attributes, traces.Attribute{Key: key, Text: strconv.FormatFloat(v, 'g', -1, 64), Type: columnar.Float})
		default:
			text, _ := json.Marshal(v) // it was decoded from JSON
			e.Attributes = append(e.Attributes, traces.Attribute{Key: key, Text: string(text)})
		}
	}
	sortAttributes(e.Attributes)
	return e
}

// setTags takes out of the tags what OTLP has fields for; the others are attributes.
func (z *zipkinSpan) setTags(s *traces.Span) {
	if code, err := traces.ParseStatusCode(z.Tags[tagStatusCode]); err == nil {
		s.StatusCode, s.StatusMessage = code, z.Tags[tagStatusText]
	}
	for key, v := range z.Tags {
		switch key {
		case tagStatusCode, tagStatusText:
			if s.StatusCode != traces.StatusUnset {
				continue
			}
		case tagError:
			// Zipkin's own convention: the tag is there, and may say what failed.
			if v == "false" {
				break
			}
			s.StatusCode = traces.StatusError
			if v == "" || v == "true" {
				continue
			}
			s.StatusMessage = cmp.Or(s.StatusMessage, v)
		case tagKind:
			if s.Kind == traces.KindInternal {
				continue
			}
		case tagTraceState:
			s.TraceState = v
			continue
		case tagScopeName, tagLibraryName:
			s.ScopeName = v
			continue
		case tagScopeVersion, tagLibraryVersion:
			s.ScopeVersion = v
			continue
		}
		if !isResourceTag(key) {
			s.Attributes = append(s.Attributes, traces.Attribute{Key: key, Text: v})
		}
	}
	sortAttributes(s.Attributes)
}

func (z *zipkinSpan) setEndpoints(s *traces.Span) {
	add := func(key, text string, t columnar.ValueType) {
		if _, tagged := z.Tags[key]; text != "" && !tagged {
			s.Attributes = append(s.Attributes, traces.Attribute{Key: key, Text: text, Type: t})
		}
	}
	port := func(n int) string {
		if n <= 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	flag := func(b bool) string {
		if !b {
			return ""
		}
		return "true"
	}
	local, remote := z.LocalEndpoint, z.RemoteEndpoint
	add(attrHostIP, cmp.Or(local.IPv4, local.IPv6), columnar.String)
	add(attrHostPort, port(local.Port), columnar.Int)
	add(attrPeerService, remote.ServiceName, columnar.String)
	add(attrPeerIP, cmp.Or(remote.IPv4, remote.IPv6), columnar.String)
	add(attrPeerPort, port(remote.Port), columnar.Int)
	add(attrShared, flag(z.Shared), columnar.Bool)
	add(attrDebug, flag(z.Debug), columnar.Bool)
}

func sortAttributes(as []traces.Attribute) {
	slices.SortFunc(as, func(a, b traces.Attribute) int { return strings.Compare(a.Key, b.Key) })
}
