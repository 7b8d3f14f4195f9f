package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// pushLoki takes Loki's push: protobuf in snappy, or JSON. Labels stay as they
// were sent, but for a service_name that is found out. Lines that are refused do
// not keep the others from being stored; the answer is then 400 (429 when a stream
// limit is the reason), as Loki's is.
func (g *Ingester) pushLoki(c echo.Context) error {
	b, err := g.storeLoki(c.Request())
	if r := g.finish(protocolLoki, signalLogs, err); r != nil {
		return writePlainError(c, r)
	}
	if b.refused.total > 0 {
		code := http.StatusBadRequest
		if b.rows == 0 && b.refused.only(reasonTooManyStreams) {
			code = http.StatusTooManyRequests
		}
		return c.String(code, b.refused.message())
	}
	return c.NoContent(http.StatusNoContent)
}

// only reports whether everything was refused for the one reason.
func (r *refusals) only(reason string) bool {
	for k := range r.by {
		if k.reason != reason {
			return false
		}
	}
	return r.total > 0
}

func (g *Ingester) storeLoki(req *http.Request) (*rowBatch, error) {
	id, err := ParseBatchID(req.Header.Get(BatchHeader))
	if err != nil {
		return nil, badBatchID(err)
	}
	l := g.newLease()
	defer l.release()

	contentType := req.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(contentType)
	if contentType != "" && err != nil {
		return nil, unsupported("content type %q: %w", contentType, err)
	}
	b := g.newRowBatch(id, columnar.Logs, signalLogs)
	switch media {
	case typeJSON:
		body, err := g.readBody(req, l)
		if err != nil {
			return nil, err
		}
		g.telemetry.bytes.WithLabelValues(protocolLoki, signalLogs).Add(float64(len(body)))
		if err := g.fitJSON(body, l); err != nil {
			return nil, err
		}
		if err := decodeLokiJSON(b, body); err != nil {
			return nil, undecodable(err)
		}
	case "", typeProto:
		body, err := g.readSnappyBody(req, l)
		if err != nil {
			return nil, err
		}
		g.telemetry.bytes.WithLabelValues(protocolLoki, signalLogs).Add(float64(len(body)))
		if err := g.decodeLokiProto(b, body, l); err != nil {
			return nil, err
		}
	default:
		return nil, unsupported("content type %q is not accepted; use %s or %s", contentType, typeProto, typeJSON)
	}
	return b, b.commit(req.Context())
}

// lokiPush is the JSON form of a push:
//
//	{"streams": [{"stream": {"app": "shop"}, "values": [["<ns>", "<line>", {"trace_id": "…"}]]}]}
type lokiPush struct {
	Streams []struct {
		Stream map[string]string `json:"stream"`
		Values []lokiEntry       `json:"values"`
	} `json:"streams"`
}

type lokiEntry struct {
	timestamp int64
	line      string
	fields    map[string]string
}

func (e *lokiEntry) UnmarshalJSON(b []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	if len(parts) != 2 && len(parts) != 3 {
		return fmt.Errorf("a value has %d parts; want a timestamp, a line and perhaps structured metadata", len(parts))
	}
	var ts string
	if err := json.Unmarshal(parts[0], &ts); err != nil {
		return fmt.Errorf("timestamp %s: want a string of Unix nanoseconds", short(string(parts[0])))
	}
	n, err := strconv.ParseInt(ts, 10, 64)
	if err != nil {
		return fmt.Errorf("timestamp %q: want Unix nanoseconds", short(ts))
	}
	e.timestamp = n
	var line *string
	if err := json.Unmarshal(parts[1], &line); err != nil || line == nil {
		return fmt.Errorf("line %s: want a string", short(string(parts[1])))
	}
	e.line = *line
	if len(parts) == 3 {
		if err := json.Unmarshal(parts[2], &e.fields); err != nil {
			return fmt.Errorf("structured metadata %s: want an object of strings", short(string(parts[2])))
		}
	}
	return nil
}

func decodeLokiJSON(b *rowBatch, body []byte) error {
	var req lokiPush
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&req); err != nil {
		return fmt.Errorf("decode push: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("decode push: there is something after the JSON object")
	}
	for _, s := range req.Streams {
		stream := b.stream(b.g.cfg.withServiceName(labels.FromMap(s.Stream)))
		for _, e := range s.Values {
			row := columnar.Row{Timestamp: e.timestamp, Line: e.line}
			for name, value := range e.fields {
				row.Fields = append(row.Fields, columnar.Field{Name: FieldName(name), Value: value})
			}
			b.add(stream, row)
		}
	}
	return nil
}
