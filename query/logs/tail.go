package logs

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	loghttp "github.com/grafana/loki/v3/pkg/loghttp/legacy"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/grafana/loki/v3/pkg/util/httpreq"
	"github.com/grafana/loki/v3/pkg/util/marshal"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/prometheus/model/labels"
)

const (
	// tailMessageLines and tailMessageBytes bound one message; the first is Loki's.
	tailMessageLines = 100
	tailMessageBytes = 1 << 20
	// tailPing is how often a silent client is looked after.
	tailPing = time.Second
	// tailWriteTimeout ends a tail whose client has stopped reading.
	tailWriteTimeout = 30 * time.Second
	// tailStreams bounds the streams that a pipeline remembers.
	tailStreams = 10_000
)

func tooManyTails(count, limit int) error {
	return &LimitError{Limit: "maxTails", Detail: fmt.Sprintf("max concurrent tail requests limit exceeded, count > limit (%d > %d)", count, limit)}
}

// tailRequest asks for the last lines since start and then for each new one.
type tailRequest struct {
	query string
	start time.Time
	limit int // of the lines before now
	// delay holds new lines back, so that what comes out of order within it is sent
	// in order.
	delay time.Duration
}

// tail answers with a WebSocket: first the newest lines since start, oldest first,
// then new ones as they are stored. What is wrong with the request is told before
// the protocol is switched, as for any other.
func (a *API) tail(c echo.Context) error {
	form, err := parseForm(c)
	var s *tailSession
	if err == nil {
		ctx := httpreq.AddEncodingFlagsToContext(c.Request().Context(), httpreq.ExtractEncodingFlags(c.Request()))
		var req tailRequest
		if req, err = tailParams(form, a.now()); err == nil {
			s, err = a.startTail(ctx, req, httpreq.ExtractEncodingFlags(c.Request()))
		}
	}
	if err != nil {
		return a.refuse(c, form, err)
	}
	defer a.tailers.leave(s.tail)
	// Only pages of the same origin may listen in from a browser; other clients
	// send no Origin.
	conn, err := (&websocket.Upgrader{}).Upgrade(c.Response(), c.Request(), nil)
	if err != nil {
		return nil // Upgrade has answered
	}
	s.serve(conn)
	return nil
}

// startTail subscribes first and then looks for the lines before, so that none is
// missed between the two.
func (a *API) startTail(ctx context.Context, req tailRequest, flags httpreq.EncodingFlags) (_ *tailSession, err error) {
	if a.tailers == nil {
		return nil, &LimitError{Limit: "maxTails", Detail: "this server has no live tails"}
	}
	// The bounds of queries hold for tails without lines before them, too.
	if _, err := a.engine.admit(Request{Query: req.query, Step: time.Second, Limit: req.limit}); err != nil {
		return nil, err
	}
	sel, err := logSelector(req.query)
	if err != nil {
		return nil, err
	}
	s := &tailSession{api: a, req: req, flags: flags, expr: sel}
	if s.tail, err = a.tailers.subscribe(sel.Matchers()); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			a.tailers.leave(s.tail)
		}
	}()
	if err := correctPipelines(ctx, sel); err != nil {
		return nil, err
	}
	if err := s.reset(); err != nil {
		return nil, err
	}
	if now := a.now(); req.start.Before(now) {
		res, err := a.engine.Exec(ctx, Request{
			Query: req.query, Start: req.start, End: now, Step: time.Second, Limit: req.limit, Direction: logproto.BACKWARD,
		})
		if err != nil {
			return nil, err
		}
		s.remember(res.Data.(logqlmodel.Streams))
	}
	return s, nil
}

// tailSession is one client's tail.
type tailSession struct {
	api   *API
	req   tailRequest
	flags httpreq.EncodingFlags
	expr  syntax.LogSelectorExpr
	tail  *tail

	pipeline log.Pipeline
	streams  map[uint64]log.StreamPipeline
	meta     labels.ScratchBuilder

	// history are the lines before, known those that may come again: what was stored
	// while they were looked for, until row number knownUntil.
	history    []tailEntry
	known      map[tailKey]int
	knownUntil uint64
}

// tailEntry is a line as the client gets it.
type tailEntry struct {
	labels string
	entry  logproto.Entry
}

type tailKey struct {
	timestamp int64
	labels    string
	line      string
}

func (e tailEntry) key() tailKey {
	return tailKey{e.entry.Timestamp.UnixNano(), e.labels, e.entry.Line}
}

// remember takes the lines before, oldest first.
func (s *tailSession) remember(streams logqlmodel.Streams) {
	s.knownUntil = s.tail.offered()
	s.known = map[tailKey]int{}
	for _, stream := range streams {
		for _, e := range stream.Entries {
			entry := tailEntry{stream.Labels, e}
			s.history = append(s.history, entry)
			s.known[entry.key()]++
		}
	}
	sortEntries(s.history)
}

func sortEntries(es []tailEntry) {
	slices.SortStableFunc(es, func(a, b tailEntry) int { return a.entry.Timestamp.Compare(b.entry.Timestamp) })
}

// serve sends until the client leaves, the server stops, or the tail is too old.
func (s *tailSession) serve(conn *websocket.Conn) {
	defer conn.Close()
	gone := make(chan struct{})
	go func() {
		// The client has nothing to say; reading answers its pings and notices its end.
		defer close(gone)
		conn.SetReadLimit(4096)
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	go func() {
		// A client that has stopped reading must not hold up the shutdown.
		select {
		case <-s.tail.done:
			_ = conn.NetConn().SetWriteDeadline(time.Now().Add(time.Second))
		case <-gone:
		}
	}()
	code, text := s.send(conn, gone)
	if code != 0 {
		closing := websocket.FormatCloseMessage(code, shortReason(text))
		_ = conn.WriteControl(websocket.CloseMessage, closing, time.Now().Add(time.Second))
	}
	conn.Close()
	<-gone
}

// shortReason fits the 123 bytes that a close frame has for it.
func shortReason(text string) string {
	if len(text) > 120 {
		text = strings.ToValidUTF8(text[:120], "")
	}
	return text
}

// send returns why it ended: a code of zero means that the client is gone.
func (s *tailSession) send(conn *websocket.Conn, gone <-chan struct{}) (code int, text string) {
	if err := s.write(conn, s.history, nil); err != nil {
		return 0, ""
	}
	s.history = nil
	ping := time.NewTicker(tailPing)
	defer ping.Stop()
	oldest := time.NewTimer(time.Duration(s.api.cfg.TailDuration))
	defer oldest.Stop()
	held := time.NewTimer(time.Hour)
	defer held.Stop()
	for {
		rows, drops, next := s.tail.take(time.Now().Add(-s.req.delay))
		entries, err := s.process(rows)
		if err != nil {
			return websocket.CloseInternalServerErr, err.Error()
		}
		if err := s.write(conn, entries, drops); err != nil {
			return 0, ""
		}
		var due <-chan time.Time
		if !next.IsZero() {
			held.Reset(time.Until(next.Add(s.req.delay)))
			due = held.C
		}
		select {
		case <-s.tail.wake:
		case <-due:
		case <-ping.C:
			if err := conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(tailWriteTimeout)); err != nil {
				return 0, ""
			}
		case <-oldest.C:
			return websocket.CloseInternalServerErr, "reached tail max duration limit"
		case <-s.tail.done:
			return websocket.CloseGoingAway, errTailersClosed.Error()
		case <-gone:
			return 0, ""
		}
	}
}

// reset makes a new pipeline: one remembers every stream that it has seen.
func (s *tailSession) reset() error {
	p, err := s.expr.Pipeline()
	if err != nil {
		return err
	}
	s.pipeline, s.streams = p, map[uint64]log.StreamPipeline{}
	s.meta = labels.NewScratchBuilder(16)
	return nil
}

// process runs the pipeline over rows and sorts what it keeps by time.
func (s *tailSession) process(rows []tailRow) (out []tailEntry, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.api.logger.Error("LogQL pipeline panicked", "query", s.req.query, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("the LogQL engine failed on this query: %v", p)
		}
	}()
	for _, r := range rows {
		hash := labels.StableHash(r.labels)
		p, ok := s.streams[hash]
		if !ok {
			if len(s.streams) >= tailStreams {
				if err := s.reset(); err != nil {
					return nil, err
				}
			}
			p = s.pipeline.ForStream(r.labels)
			s.streams[hash] = p
		}
		s.meta.Reset()
		for _, f := range r.Fields {
			s.meta.Add(f.Name, f.Value)
		}
		line, lbls, keep := p.ProcessString(r.Timestamp, r.Line, s.meta.Labels())
		if !keep {
			continue
		}
		e := tailEntry{labels: lbls.String(), entry: logproto.Entry{Timestamp: time.Unix(0, r.Timestamp), Line: strings.Clone(line)}}
		if s.flags.Has(httpreq.FlagCategorizeLabels) {
			e.labels = lbls.Stream().String()
			e.entry.StructuredMetadata = logproto.FromLabelsToLabelAdapters(lbls.StructuredMetadata())
			e.entry.Parsed = logproto.FromLabelsToLabelAdapters(lbls.Parsed())
		}
		if !s.repeats(e, r.seq) {
			out = append(out, e)
		}
	}
	sortEntries(out)
	return out, nil
}

// repeats reports whether the client has the line already, from before.
func (s *tailSession) repeats(e tailEntry, seq uint64) bool {
	if seq > s.knownUntil {
		s.known = nil
		return false
	}
	key := e.key()
	if s.known[key] == 0 {
		return false
	}
	s.known[key]--
	return true
}

// write sends entries and drops in as many messages as they need, and none when
// there is nothing to say.
func (s *tailSession) write(conn *websocket.Conn, entries []tailEntry, drops []tailDrop) error {
	for len(entries) > 0 || len(drops) > 0 {
		n, size := 0, 0
		for n < len(entries) && n < tailMessageLines && size < tailMessageBytes {
			size += len(entries[n].entry.Line)
			n++
		}
		var msg loghttp.TailResponse
		msg.Streams = byStream(entries[:n])
		for _, d := range drops {
			msg.DroppedEntries = append(msg.DroppedEntries, loghttp.DroppedEntry{Timestamp: time.Unix(0, d.timestamp), Labels: d.labels.String()})
		}
		var buf bytes.Buffer
		if err := marshal.WriteTailResponseJSON(msg, &buf, s.flags); err != nil {
			return fmt.Errorf("encode the lines of a tail: %w", err)
		}
		if err := conn.SetWriteDeadline(time.Now().Add(tailWriteTimeout)); err != nil {
			return err
		}
		if err := conn.WriteMessage(websocket.TextMessage, buf.Bytes()); err != nil {
			return err
		}
		s.api.tailers.lines.Add(float64(n))
		entries, drops = entries[n:], nil
	}
	return nil
}

// byStream groups entries by their labels, in order of appearance.
func byStream(entries []tailEntry) []logproto.Stream {
	var out []logproto.Stream
	index := map[string]int{}
	for _, e := range entries {
		i, ok := index[e.labels]
		if !ok {
			i = len(out)
			index[e.labels] = i
			out = append(out, logproto.Stream{Labels: e.labels})
		}
		out[i].Entries = append(out[i].Entries, e.entry)
	}
	return out
}
