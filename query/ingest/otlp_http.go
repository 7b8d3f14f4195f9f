package ingest

import (
	"mime"
	"net/http"

	"github.com/labstack/echo/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	typeProto = "application/x-protobuf"
	typeJSON  = "application/json"
)

// Register mounts every way in below the root: /v1/{logs,traces,metrics} (OTLP),
// /prometheus/api/v1/write, /loki/api/v1/push, and OTLP logs where senders to Loki
// expect them, alone and below /loki.
func (g *Ingester) Register(root *echo.Group) {
	g.RegisterOTLP(root.Group("/v1"))
	root.POST("/prometheus/api/v1/write", g.remoteWrite)
	root.POST("/loki/api/v1/push", g.pushLoki)
	root.POST("/api/v2/spans", g.pushZipkin)
	for _, s := range otlpSignals {
		if s.name == signalLogs {
			root.POST("/otlp/v1/logs", g.otlpHandler(s))
			root.POST("/loki/otlp/v1/logs", g.otlpHandler(s))
		}
	}
}

// RegisterOTLP mounts OTLP/HTTP alone, for a listener of its own: below group,
// /logs, /traces and /metrics.
func (g *Ingester) RegisterOTLP(group *echo.Group) {
	for _, s := range otlpSignals {
		group.POST("/"+s.name, g.otlpHandler(s))
	}
}

// otlpHandler answers as the OTLP specification says: in the encoding of the
// request, 200 with partial_success for rows that were refused, google.rpc.Status
// for a request that was not taken, and Retry-After when it should come again.
func (g *Ingester) otlpHandler(s otlpSignal) echo.HandlerFunc {
	return func(c echo.Context) error {
		enc, err := otlpEncoding(c.Request().Header.Get("Content-Type"))
		if err != nil {
			// Protobuf is what OTLP clients read by default.
			return writeOTLPError(c, encodingProto, g.finish(protocolOTLPHTTP, s.name, err))
		}
		resp, err := g.otlpExport(c, s, enc)
		if r := g.finish(protocolOTLPHTTP, s.name, err); r != nil {
			return writeOTLPError(c, enc, r)
		}
		if enc == encodingJSON {
			body, err := resp.MarshalJSON()
			if err != nil {
				return err
			}
			return c.Blob(http.StatusOK, typeJSON, body)
		}
		body, err := resp.MarshalProto()
		if err != nil {
			return err
		}
		return c.Blob(http.StatusOK, typeProto, body)
	}
}

func (g *Ingester) otlpExport(c echo.Context, s otlpSignal, enc encoding) (exportResponse, error) {
	id, err := ParseBatchID(c.Request().Header.Get(BatchHeader))
	if err != nil {
		return nil, badBatchID(err)
	}
	l := g.newLease()
	defer l.release()
	body, err := g.readBody(c.Request(), l)
	if err != nil {
		return nil, err
	}
	g.telemetry.bytes.WithLabelValues(protocolOTLPHTTP, s.name).Add(float64(len(body)))
	return s.take(g, c.Request().Context(), id, body, enc, l)
}

func otlpEncoding(contentType string) (encoding, error) {
	t, _, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && t == typeProto:
		return encodingProto, nil
	case err == nil && t == typeJSON:
		return encodingJSON, nil
	}
	return encodingProto, unsupported("content type %q is not accepted; use %s or %s", contentType, typeProto, typeJSON)
}

func writeOTLPError(c echo.Context, enc encoding, r *refusal) error {
	if r.retry > 0 {
		c.Response().Header().Set("Retry-After", r.retryAfter())
	}
	st := r.status().Proto()
	if enc == encodingJSON {
		body, err := protojson.Marshal(st)
		if err != nil {
			return err
		}
		return c.Blob(r.http, typeJSON, body)
	}
	body, err := proto.Marshal(st)
	if err != nil {
		return err
	}
	return c.Blob(r.http, typeProto, body)
}
