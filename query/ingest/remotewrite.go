package ingest

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/gogo/protobuf/proto"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/metrics"
)

// What remote write 2.0 answers: how much of the request was written.
const (
	headerSamplesWritten    = "X-Prometheus-Remote-Write-Samples-Written"
	headerHistogramsWritten = "X-Prometheus-Remote-Write-Histograms-Written"
	headerExemplarsWritten  = "X-Prometheus-Remote-Write-Exemplars-Written"
)

// written counts what a remote write request brought or the store took.
type written struct{ samples, histograms, exemplars int }

// remoteWrite takes both versions of remote write. Samples that are refused do
// not keep the others from being stored; the answer is then 400, which tells the
// sender what was refused and not to send it again.
func (g *Ingester) remoteWrite(c echo.Context) error {
	version, err := remoteWriteVersion(c.Request().Header.Get("Content-Type"))
	if err != nil {
		return writePlainError(c, g.finish(protocolRemoteWrite, signalMetrics, err))
	}
	w, refused, err := g.storeRemoteWrite(c.Request(), version)
	if r := g.finish(protocolRemoteWrite, signalMetrics, err); r != nil {
		if version == remote.WriteV2MessageType {
			setWritten(c, written{})
		}
		return writePlainError(c, r)
	}
	if version == remote.WriteV2MessageType {
		setWritten(c, w)
	}
	if refused.total > 0 {
		return c.String(http.StatusBadRequest, refused.message())
	}
	return c.NoContent(http.StatusNoContent)
}

func remoteWriteVersion(contentType string) (remote.WriteMessageType, error) {
	if contentType == "" {
		return remote.WriteV1MessageType, nil
	}
	v, err := remote.ParseProtoMsg(contentType)
	if err != nil {
		return "", unsupported("content type %q: %w", contentType, err)
	}
	return v, nil
}

func setWritten(c echo.Context, w written) {
	h := c.Response().Header()
	h.Set(headerSamplesWritten, strconv.Itoa(w.samples))
	h.Set(headerHistogramsWritten, strconv.Itoa(w.histograms))
	h.Set(headerExemplarsWritten, strconv.Itoa(w.exemplars))
}

func (g *Ingester) storeRemoteWrite(req *http.Request, version remote.WriteMessageType) (written, *refusals, error) {
	id, err := ParseBatchID(req.Header.Get(BatchHeader))
	if err != nil {
		return written{}, nil, badBatchID(err)
	}
	l := g.newLease()
	defer l.release()
	body, err := g.readSnappyBody(req, l)
	if err != nil {
		return written{}, nil, err
	}
	g.telemetry.bytes.WithLabelValues(protocolRemoteWrite, signalMetrics).Add(float64(len(body)))
	if version == remote.WriteV2MessageType {
		if err := g.fitProto(body, &writeRequestV2, l); err != nil {
			return written{}, nil, err
		}
		var m writev2.Request
		if err := proto.Unmarshal(body, &m); err != nil {
			return written{}, nil, undecodable(fmt.Errorf("decode remote write 2.0: %w", err))
		}
		return g.storeWrite(req, id, broughtV2(&m), func(app *metrics.Appender) error { return appendV2(app, &m) })
	}
	if err := g.fitProto(body, &writeRequestV1, l); err != nil {
		return written{}, nil, err
	}
	var m prompb.WriteRequest
	if err := proto.Unmarshal(body, &m); err != nil {
		return written{}, nil, undecodable(fmt.Errorf("decode remote write 1.0: %w", err))
	}
	return g.storeWrite(req, id, written{}, func(app *metrics.Appender) error { return appendV1(app, &m) })
}

// storeWrite stores what write appends. brought is what the request holds: all of
// it was written when the request is a repeat.
func (g *Ingester) storeWrite(req *http.Request, id columnar.BatchID, brought written, write func(*metrics.Appender) error) (written, *refusals, error) {
	refused := &refusals{}
	res, duplicate, err := g.storeSamples(req.Context(), id, refused, write)
	if err != nil {
		return written{}, nil, err
	}
	if duplicate {
		return brought, refused, nil
	}
	// The protocol asks for exemplars to be reported, but a sender must not take an
	// exemplar out of order for a lost sample.
	w := written{samples: res.Samples, histograms: res.Histograms, exemplars: res.Exemplars}
	if res.RefusedSamples() == 0 {
		refused = withoutExemplars(refused)
	}
	return w, refused, nil
}

// withoutExemplars leaves the answer of a request whose samples were all stored a
// success: only exemplars were refused, which are a ring in memory.
func withoutExemplars(r *refusals) *refusals {
	out := &refusals{}
	for k, n := range r.by {
		if k.reason != string(metrics.ReasonExemplarOutOfOrder) && k.reason != string(metrics.ReasonInvalidExemplar) {
			out.add(k.tenant, k.reason, k.reason, n)
		}
	}
	return out
}

func appendV1(app *metrics.Appender, req *prompb.WriteRequest) error {
	b := labels.NewScratchBuilder(16)
	for _, m := range req.Metadata {
		app.SetMetadata(m.MetricFamilyName, metrics.Metadata{Type: metadataType(m.Type), Help: m.Help, Unit: m.Unit})
	}
	for _, ts := range req.Timeseries {
		ls := ts.ToLabels(&b, nil)
		var ref storage.SeriesRef
		var err error
		for _, s := range ts.Samples {
			if ref, err = app.Append(ref, ls, 0, s.Timestamp, s.Value, nil, nil, storage.AOptions{}); err != nil {
				return err
			}
		}
		for _, h := range ts.Histograms {
			if ref, err = appendHistogramV1(app, ref, ls, h); err != nil {
				return err
			}
		}
		if len(ts.Exemplars) == 0 || ref == 0 {
			continue
		}
		es := make([]exemplar.Exemplar, 0, len(ts.Exemplars))
		for _, e := range ts.Exemplars {
			es = append(es, e.ToExemplar(&b, nil))
		}
		if _, err = app.AppendExemplars(ref, ls, es); err != nil {
			return err
		}
	}
	return nil
}

func appendHistogramV1(app *metrics.Appender, ref storage.SeriesRef, ls labels.Labels, h prompb.Histogram) (storage.SeriesRef, error) {
	if h.IsFloatHistogram() {
		return app.Append(ref, ls, 0, h.Timestamp, 0, nil, h.ToFloatHistogram(), storage.AOptions{})
	}
	return app.Append(ref, ls, 0, h.Timestamp, 0, h.ToIntHistogram(), nil, storage.AOptions{})
}

func metadataType(t prompb.MetricMetadata_MetricType) model.MetricType {
	switch t {
	case prompb.MetricMetadata_COUNTER:
		return model.MetricTypeCounter
	case prompb.MetricMetadata_GAUGE:
		return model.MetricTypeGauge
	case prompb.MetricMetadata_HISTOGRAM:
		return model.MetricTypeHistogram
	case prompb.MetricMetadata_GAUGEHISTOGRAM:
		return model.MetricTypeGaugeHistogram
	case prompb.MetricMetadata_SUMMARY:
		return model.MetricTypeSummary
	case prompb.MetricMetadata_INFO:
		return model.MetricTypeInfo
	case prompb.MetricMetadata_STATESET:
		return model.MetricTypeStateset
	}
	return model.MetricTypeUnknown
}

func broughtV2(req *writev2.Request) (w written) {
	for _, ts := range req.Timeseries {
		w.samples += len(ts.Samples)
		w.histograms += len(ts.Histograms)
		w.exemplars += len(ts.Exemplars)
	}
	return w
}

func appendV2(app *metrics.Appender, req *writev2.Request) error {
	b := labels.NewScratchBuilder(16)
	for _, ts := range req.Timeseries {
		if err := appendSeriesV2(app, &b, req.Symbols, ts); err != nil {
			return err
		}
	}
	return nil
}

func appendSeriesV2(app *metrics.Appender, b *labels.ScratchBuilder, symbols []string, ts writev2.TimeSeries) error {
	refuse := func(text string, n int) {
		for range max(1, n) {
			app.Refuse(metrics.ReasonInvalidLabels, labels.EmptyLabels(), text)
		}
	}
	ls, err := ts.ToLabels(b, symbols)
	if err != nil {
		refuse(fmt.Sprintf("labels %v: %v", clipRefs(ts.LabelsRefs), err), len(ts.Samples)+len(ts.Histograms))
		return nil
	}
	m, err := ts.ToMetadata(symbols)
	if err != nil {
		refuse(fmt.Sprintf("metadata of labels %v: %v", clipRefs(ts.LabelsRefs), err), len(ts.Samples)+len(ts.Histograms))
		return nil
	}
	if len(ts.Samples) == 0 && len(ts.Histograms) == 0 {
		refuse(fmt.Sprintf("series %s has neither samples nor histograms", shortLabels(ls)), 1)
		return nil
	}
	opts := storage.AOptions{Metadata: m}
	var ref storage.SeriesRef
	for _, s := range ts.Samples {
		if ref, err = app.Append(ref, ls, s.StartTimestamp, s.Timestamp, s.Value, nil, nil, opts); err != nil {
			return err
		}
	}
	for _, h := range ts.Histograms {
		if h.IsFloatHistogram() {
			ref, err = app.Append(ref, ls, h.StartTimestamp, h.Timestamp, 0, nil, h.ToFloatHistogram(), opts)
		} else {
			ref, err = app.Append(ref, ls, h.StartTimestamp, h.Timestamp, 0, h.ToIntHistogram(), nil, opts)
		}
		if err != nil {
			return err
		}
	}
	if len(ts.Exemplars) == 0 || ref == 0 {
		return nil
	}
	es := make([]exemplar.Exemplar, 0, len(ts.Exemplars))
	for _, e := range ts.Exemplars {
		ex, err := e.ToExemplar(b, symbols)
		if err != nil {
			app.Refuse(metrics.ReasonInvalidExemplar, ls, err.Error())
			continue
		}
		es = append(es, ex)
	}
	_, err = app.AppendExemplars(ref, ls, es)
	return err
}

func clipRefs(refs []uint32) []uint32 { return refs[:min(len(refs), 16)] }

// writePlainError answers as Prometheus and Loki do: text, and Retry-After when
// the request should come again.
func writePlainError(c echo.Context, r *refusal) error {
	if r.retry > 0 {
		c.Response().Header().Set("Retry-After", r.retryAfter())
	}
	return c.String(r.http, validText(r.Error()))
}
