package logs

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/grafana/loki/v3/pkg/util/httpreq"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// fieldsRequest asks which fields the lines of a selector have.
type fieldsRequest struct {
	query      string // a log query; lines that it drops have no say
	start, end time.Time
	lines      int // the size of the sample
	limit      int // the most fields, or values, that are wanted
}

// detectedField is what a sample says about one field.
type detectedField struct {
	typ      logproto.DetectedFieldType
	values   map[string]struct{}
	parsers  []string
	jsonPath []string
	rows     int64 // of the sample, or as the store's catalogue has it when that is more
	distinct int64 // as the store's catalogue estimates it, 0 when it does not know
}

// detectedFields finds fields in two places: in a sample of the newest lines,
// parsed as JSON or logfmt, and, when the query is a bare selector, in the store's
// catalogue, which knows all structured metadata of the range and not only that of
// the sample.
func (a *API) detectedFields(ctx context.Context, req fieldsRequest) ([]*logproto.DetectedField, error) {
	streams, err := a.sampleLines(ctx, req)
	if err != nil {
		return nil, err
	}
	d := fieldDetector{limit: req.limit, fields: map[string]*detectedField{}}
	for _, s := range streams {
		d.stream(s)
	}
	if ms := bareSelector(req.query); ms != nil {
		err := a.engine.bounded(ctx, req.start, req.end, func(ctx context.Context) error {
			names, err := a.store.FieldNames(ctx, catalogQuery(req, ms))
			for _, n := range names {
				d.catalogued(n)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return d.result(), nil
}

// detectedFieldValues are values of one field: of the sample, and of the store's
// catalogue, the most frequent first, when the query is a bare selector.
func (a *API) detectedFieldValues(ctx context.Context, req fieldsRequest, name string) ([]string, error) {
	seen := map[string]struct{}{}
	var out []string
	add := func(v string) {
		if _, ok := seen[v]; !ok && len(out) < req.limit {
			seen[v] = struct{}{}
			out = append(out, v)
		}
	}
	if ms := bareSelector(req.query); ms != nil {
		err := a.engine.bounded(ctx, req.start, req.end, func(ctx context.Context) error {
			values, _, err := a.store.FieldValues(ctx, catalogQuery(req, ms), name, req.limit)
			for _, v := range values {
				add(strings.Clone(v.Value))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	streams, err := a.sampleLines(ctx, req)
	if err != nil {
		return nil, err
	}
	for _, s := range streams {
		p := newLineParser(s.Labels)
		for _, e := range s.Entries {
			for _, l := range e.StructuredMetadata {
				if l.Name == name {
					add(l.Value)
				}
			}
			fields, _ := p.parse(e)
			for _, l := range fields {
				if l.Name == name {
					add(queryableBytes(l.Value))
				}
			}
		}
	}
	return out, nil
}

// queryableBytes writes an amount of bytes so that a query can compare with it.
func queryableBytes(v string) string {
	n, err := humanize.ParseBytes(v)
	if err != nil || v[len(v)-1] >= '0' && v[len(v)-1] <= '9' || v[len(v)-1] == '.' {
		return v
	}
	return strings.Replace(humanize.Bytes(n), " ", "", 1)
}

// sampleLines reads the newest lines with their structured metadata and what the
// query parsed of them apart from the stream's labels.
func (a *API) sampleLines(ctx context.Context, req fieldsRequest) (logqlmodel.Streams, error) {
	if _, err := logSelector(req.query); err != nil {
		return nil, err
	}
	ctx = httpreq.AddEncodingFlagsToContext(ctx, httpreq.NewEncodingFlags(httpreq.FlagCategorizeLabels))
	res, err := a.engine.Exec(ctx, Request{
		Query: req.query, Start: req.start, End: req.end, Step: time.Second,
		Limit: req.lines, Direction: logproto.BACKWARD,
	})
	if err != nil {
		return nil, err
	}
	return res.Data.(logqlmodel.Streams), nil
}

// bareSelector is the matchers of a query that is nothing but a selector.
func bareSelector(query string) []*labels.Matcher {
	ms, err := syntax.ParseMatchers(query, true)
	if err != nil {
		return nil
	}
	return ms
}

func catalogQuery(req fieldsRequest, ms []*labels.Matcher) columnar.CatalogQuery {
	return columnar.CatalogQuery{Table: columnar.Logs, From: unixNano(req.start), To: unixNano(req.end), Matchers: ms}
}

// maxDetectedFields bounds the fields that are gathered before the most frequent
// ones are chosen: lines may have keys that no other has.
const maxDetectedFields = 10_000

// fieldDetector gathers what lines and the catalogue say. Of more than limit fields
// it answers those that most rows have, whatever the order they came in.
type fieldDetector struct {
	limit  int
	fields map[string]*detectedField
}

func (d *fieldDetector) field(name string) *detectedField {
	f := d.fields[name]
	if f == nil && len(d.fields) < max(d.limit, maxDetectedFields) {
		f = &detectedField{values: map[string]struct{}{}}
		d.fields[strings.Clone(name)] = f
	}
	return f
}

func (d *fieldDetector) stream(s logproto.Stream) {
	p := newLineParser(s.Labels)
	for _, e := range s.Entries {
		for _, l := range e.StructuredMetadata {
			if f := d.field(l.Name); f != nil {
				f.add(l.Value)
			}
		}
		fields, parser := p.parse(e)
		for _, l := range fields {
			f := d.field(l.Name)
			if f == nil {
				continue
			}
			f.add(l.Value)
			if parser != "" && !slices.Contains(f.parsers, parser) {
				f.parsers = append(f.parsers, parser)
			}
			if parser == "json" {
				f.jsonPath = p.jsonPath(l.Name)
			}
		}
	}
}

// catalogued adds a field of the store's catalogue. A type that the sample has seen
// stands: text may be a number, a duration or an amount of bytes to LogQL.
func (d *fieldDetector) catalogued(n columnar.FieldName) {
	f := d.field(n.Name)
	if f == nil {
		return
	}
	f.distinct = n.Distinct
	f.rows = max(f.rows, n.Rows)
	if f.typ != "" {
		return
	}
	f.typ = logproto.DetectedFieldString
	if len(n.Types) == 1 {
		switch n.Types[0] {
		case columnar.Int:
			f.typ = logproto.DetectedFieldInt
		case columnar.Float:
			f.typ = logproto.DetectedFieldFloat
		case columnar.Bool:
			f.typ = logproto.DetectedFieldBoolean
		}
	}
}

func (d *fieldDetector) result() []*logproto.DetectedField {
	names := slices.SortedFunc(maps.Keys(d.fields), func(a, b string) int {
		return cmp.Or(cmp.Compare(d.fields[b].rows, d.fields[a].rows), cmp.Compare(a, b))
	})
	names = names[:min(len(names), d.limit)]
	out := make([]*logproto.DetectedField, 0, len(names))
	for _, name := range names {
		f := d.fields[name]
		out = append(out, &logproto.DetectedField{
			Label: name, Type: f.typ, Cardinality: uint64(max(f.distinct, int64(len(f.values)))),
			Parsers: f.parsers, JsonPath: f.jsonPath,
		})
	}
	slices.SortFunc(out, func(a, b *logproto.DetectedField) int { return cmp.Compare(a.Label, b.Label) })
	return out
}

// add notes a value. The first one says the type, as for Loki.
func (f *detectedField) add(value string) {
	if f.typ == "" {
		f.typ = typeOf(value)
	}
	f.rows++
	f.values[value] = struct{}{}
}

func typeOf(value string) logproto.DetectedFieldType {
	if _, err := strconv.ParseInt(value, 10, 64); err == nil {
		return logproto.DetectedFieldInt
	}
	if _, err := strconv.ParseFloat(value, 64); err == nil {
		return logproto.DetectedFieldFloat
	}
	if _, err := strconv.ParseBool(value); err == nil {
		return logproto.DetectedFieldBoolean
	}
	if _, err := time.ParseDuration(value); err == nil {
		return logproto.DetectedFieldDuration
	}
	if _, err := humanize.ParseBytes(value); err == nil {
		return logproto.DetectedFieldBytes
	}
	return logproto.DetectedFieldString
}

// lineParser reads the fields that the lines of one stream hold. It names them as
// the stages json and logfmt do: a field that shares its name with a label of the
// stream gets a suffix.
type lineParser struct {
	json    *log.JSONParser
	logfmt  *log.LogfmtParser
	builder *log.LabelsBuilder
}

func newLineParser(stream string) *lineParser {
	ls, err := syntax.ParseLabels(stream)
	if err != nil {
		ls = labels.EmptyLabels()
	}
	return &lineParser{
		json: log.NewJSONParser(true), logfmt: log.NewLogfmtParser(false, false),
		builder: log.NewBaseLabelsBuilder().ForLabels(ls, labels.StableHash(ls)),
	}
}

// parse returns what the query has parsed of a line already and what the line
// holds as JSON or logfmt, with the parser's name, empty when it is neither.
func (p *lineParser) parse(e logproto.Entry) (fields []labels.Label, parser string) {
	for _, l := range e.Parsed {
		if !strings.HasPrefix(l.Name, "__error") && l.Name != logqlmodel.PreserveErrorLabel {
			fields = append(fields, labels.Label{Name: l.Name, Value: l.Value})
		}
	}
	p.builder.Reset()
	line := []byte(e.Line)
	parser = "json"
	if _, ok := p.json.Process(0, line, p.builder); !ok || p.builder.HasErr() {
		p.builder.Reset()
		parser = "logfmt"
		if _, ok := p.logfmt.Process(0, line, p.builder); !ok || p.builder.HasErr() {
			return fields, ""
		}
	}
	own := len(fields)
	p.builder.LabelsResult().Parsed().Range(func(l labels.Label) {
		if !slices.Contains(fields[:own], l) {
			fields = append(fields, l)
		}
	})
	return fields, parser
}

func (p *lineParser) jsonPath(name string) []string { return p.builder.GetJSONPath(name) }
