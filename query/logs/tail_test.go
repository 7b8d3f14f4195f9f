package logs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/logs"
)

// tailRig is a server whose store is written through its tails.
type tailRig struct {
	t       *testing.T
	url     string
	handler http.Handler
	store   *columnar.Store
	tailers *logs.Tailers
}

func newTailRig(t *testing.T, change ...func(*logs.Config)) *tailRig {
	t.Helper()
	cfg := logs.DefaultConfig()
	for _, f := range change {
		f(&cfg)
	}
	r := &tailRig{t: t, store: openStore(t)}
	r.tailers = logs.NewTailers(r.store, cfg, nil)
	api, err := logs.NewAPI(logs.Options{Config: cfg, Rows: r.store, Tailers: r.tailers, Logger: discard})
	require.NoError(t, err)
	e := echo.New()
	api.Register(e.Group("/loki"))
	r.handler = e
	srv := httptest.NewServer(e)
	r.url = srv.URL
	t.Cleanup(func() { r.tailers.Close(); srv.Close() })
	return r
}

func (r *tailRig) dial(form url.Values, header ...string) (*websocket.Conn, *http.Response, error) {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return websocket.DefaultDialer.Dial(strings.Replace(r.url, "http", "ws", 1)+"/loki/api/v1/tail?"+form.Encode(), h)
}

func (r *tailRig) tail(query string, kv ...string) *websocket.Conn {
	r.t.Helper()
	form := url.Values{"query": {query}}
	for i := 0; i+1 < len(kv); i += 2 {
		form.Set(kv[i], kv[i+1])
	}
	conn, _, err := r.dial(form)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

type tailMessage struct {
	Streams []logStream
	Dropped []struct {
		Timestamp string
		Labels    map[string]string
	} `json:"dropped_entries"`
	EncodingFlags []string
}

func receive(t *testing.T, conn *websocket.Conn) (m tailMessage) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, b, err := conn.ReadMessage()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &m), "%s", b)
	return m
}

// lines reads messages until n lines have come.
func tailedLines(t *testing.T, conn *websocket.Conn, n int) (out []string) {
	t.Helper()
	for len(out) < n {
		for _, s := range receive(t, conn).Streams {
			out = append(out, s.lines(t)...)
		}
	}
	require.Len(t, out, n)
	return out
}

var shopA = labels.FromStrings("service_name", "shop", "pod", "a")

func TestTailSendsWhatIsStored(t *testing.T) {
	r := newTailRig(t)
	now := time.Now()
	at := func(d time.Duration) int64 { return now.Add(d).UnixNano() }
	for i := range 5 {
		appendRows(t, r.tailers, shopA, row(at(time.Duration(i-10)*time.Second), fmt.Sprintf("old %d", i)))
	}
	conn := r.tail(`{service_name="shop"} |~ "old|new"`, "limit", "3")
	require.Equal(t, []string{"old 2", "old 3", "old 4"}, tailedLines(t, conn, 3), "the newest lines before, oldest first")

	appendRows(t, r.tailers, shopA, row(at(0), "new 0"), row(at(1), "something else"))
	appendRows(t, r.tailers, labels.FromStrings("service_name", "other"), row(at(0), "new of another stream"))
	require.Equal(t, []string{"new 0"}, tailedLines(t, conn, 1))
	appendRows(t, r.tailers, shopA, row(at(2), "new 1", "trace_id", "t1"))
	m := receive(t, conn)
	require.Len(t, m.Streams, 1)
	require.Equal(t, map[string]string{"service_name": "shop", "pod": "a", "trace_id": "t1"}, m.Streams[0].Stream)
	require.Empty(t, m.Dropped)
	require.JSONEq(t, fmt.Sprintf(`"%d"`, at(2)), string(m.Streams[0].Values[0][0]))
}

func TestTailCategorizesLabels(t *testing.T) {
	r := newTailRig(t)
	conn, _, err := r.dial(url.Values{"query": {`{pod="a"} | logfmt`}}, "X-Loki-Response-Encoding-Flags", "categorize-labels")
	require.NoError(t, err)
	defer conn.Close()
	appendRows(t, r.tailers, shopA, row(time.Now().UnixNano(), "level=warn", "trace_id", "t1"))
	m := receive(t, conn)
	require.Equal(t, []string{"categorize-labels"}, m.EncodingFlags)
	require.Equal(t, map[string]string{"service_name": "shop", "pod": "a"}, m.Streams[0].Stream)
	require.JSONEq(t, `{"structuredMetadata":{"trace_id":"t1"},"parsed":{"level":"warn"}}`, string(m.Streams[0].Values[0][2]))
}

// TestTailTellsWhatItDropped offers more in one batch than the buffer takes.
func TestTailTellsWhatItDropped(t *testing.T) {
	r := newTailRig(t, func(c *logs.Config) { c.TailBufferLines = 10 })
	conn := r.tail(`{pod="a"}`)
	base := time.Now().UnixNano()
	rows := make([]columnar.Row, 50)
	for i := range rows {
		rows[i] = row(base+int64(i), fmt.Sprintf("line %d", i))
	}
	appendRows(t, r.tailers, shopA, rows...)
	m := receive(t, conn)
	require.Len(t, m.Streams[0].Values, 10)
	require.Len(t, m.Dropped, 40)
	require.Equal(t, map[string]string{"service_name": "shop", "pod": "a"}, m.Dropped[0].Labels)
	require.Equal(t, fmt.Sprint(base+10), m.Dropped[0].Timestamp)
	appendRows(t, r.tailers, shopA, row(base+60, "afterwards"))
	require.Equal(t, []string{"afterwards"}, tailedLines(t, conn, 1))
}

func TestTailSplitsLongAnswers(t *testing.T) {
	r := newTailRig(t)
	conn := r.tail(`{pod="a"}`)
	rows := make([]columnar.Row, 250)
	for i := range rows {
		rows[i] = row(time.Now().UnixNano()+int64(i), "x")
	}
	appendRows(t, r.tailers, shopA, rows...)
	require.Len(t, receive(t, conn).Streams[0].Values, 100)
	tailedLines(t, conn, 150)
}

func TestTailDelayPutsLinesInOrder(t *testing.T) {
	r := newTailRig(t)
	conn := r.tail(`{pod="a"}`, "delay_for", "1")
	base := time.Now().UnixNano()
	appendRows(t, r.tailers, shopA, row(base+2, "second"))
	appendRows(t, r.tailers, shopA, row(base+1, "first"))
	require.Equal(t, []string{"first", "second"}, tailedLines(t, conn, 2))
}

type writerFunc func(context.Context, columnar.Batch) (bool, error)

func (f writerFunc) Append(ctx context.Context, b columnar.Batch) (bool, error) { return f(ctx, b) }

// TestTailSeesOnlyWhatIsNewAndStored: neither repeats nor refused batches.
func TestTailSeesOnlyWhatIsNewAndStored(t *testing.T) {
	r := newTailRig(t)
	conn := r.tail(`{pod="a"}`)
	now := time.Now().UnixNano()
	batch := columnar.Batch{
		ID: columnar.BatchID{Collector: "c", Stream: "s", Sequence: 1}, Table: columnar.Logs,
		Streams: []columnar.Stream{{Labels: shopA, Rows: []columnar.Row{row(now, "once")}}},
	}
	for i := range 3 {
		duplicate, err := r.tailers.Append(t.Context(), batch)
		require.NoError(t, err)
		require.Equal(t, i > 0, duplicate)
	}
	spans := batch
	spans.ID.Sequence, spans.Table = 2, columnar.Spans
	_, err := r.tailers.Append(t.Context(), spans)
	require.NoError(t, err)
	appendRows(t, r.tailers, shopA, row(now+1, "last"))
	require.Equal(t, []string{"once", "last"}, tailedLines(t, conn, 2))

	full := logs.NewTailers(writerFunc(func(context.Context, columnar.Batch) (bool, error) {
		return false, columnar.ErrFull
	}), logs.DefaultConfig(), nil)
	_, err = full.Append(t.Context(), batch)
	require.ErrorIs(t, err, columnar.ErrFull)
}

// TestTailNeitherLosesNorRepeats tails from before while somebody writes: each line
// comes exactly once, from the store or from the writer.
func TestTailNeitherLosesNorRepeats(t *testing.T) {
	r := newTailRig(t)
	const n = 400
	begun := make(chan struct{})
	written := make(chan error, 1)
	go func() {
		for i := range n {
			if i == n/10 {
				close(begun)
			}
			_, err := r.tailers.Append(context.Background(), columnar.Batch{Table: columnar.Logs, Streams: []columnar.Stream{
				{Labels: shopA, Rows: []columnar.Row{row(time.Now().UnixNano(), fmt.Sprintf("line %d", i))}},
			}})
			if err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	<-begun
	conn := r.tail(`{pod="a"}`, "limit", "5000")
	seen := map[string]int{}
	for _, l := range tailedLines(t, conn, n) {
		seen[l]++
	}
	require.NoError(t, <-written)
	require.Len(t, seen, n)
}

func TestTailEnds(t *testing.T) {
	closed := func(conn *websocket.Conn) *websocket.CloseError {
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
		_, _, err := conn.ReadMessage()
		var ce *websocket.CloseError
		require.True(t, errors.As(err, &ce), "%v", err)
		return ce
	}
	t.Run("with the server", func(t *testing.T) {
		r := newTailRig(t)
		conn := r.tail(`{pod="a"}`)
		go r.tailers.Close()
		require.Equal(t, websocket.CloseGoingAway, closed(conn).Code)
		r.tailers.Close()
		_, resp, err := r.dial(url.Values{"query": {`{pod="a"}`}})
		require.Error(t, err)
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		appendRows(t, r.tailers, shopA, row(ns(0), "the store goes on"))
	})
	t.Run("with its time", func(t *testing.T) {
		r := newTailRig(t, func(c *logs.Config) { c.TailDuration = model.Duration(time.Millisecond) })
		require.Contains(t, closed(r.tail(`{pod="a"}`)).Text, "max duration")
	})
	t.Run("with its client", func(t *testing.T) {
		r := newTailRig(t, func(c *logs.Config) { c.MaxTails = 1 })
		conn := r.tail(`{pod="a"}`)
		_, resp, err := r.dial(url.Values{"query": {`{pod="a"}`}})
		require.Error(t, err)
		require.Equal(t, http.StatusBadRequest, resp.StatusCode)
		conn.Close()
		require.Eventually(t, func() bool {
			again, _, err := r.dial(url.Values{"query": {`{pod="a"}`}})
			if err == nil {
				again.Close()
			}
			return err == nil
		}, 20*time.Second, 10*time.Millisecond, "the place becomes free")
	})
}

func TestTailBadRequests(t *testing.T) {
	r := newTailRig(t)
	for name, tc := range map[string]struct {
		form url.Values
		want string
	}{
		"no query":  {nil, "parse error"},
		"metric":    {url.Values{"query": {`rate({pod="a"}[1m])`}}, "'query'"},
		"number":    {url.Values{"query": {`0`}}, "'query'"},
		"limit":     {url.Values{"query": {`{pod="a"}`}, "limit": {"x"}}, "'limit'"},
		"big limit": {url.Values{"query": {`{pod="a"}`}, "limit": {"5001"}}, "maxLines"},
		"delay":     {url.Values{"query": {`{pod="a"}`}, "delay_for": {"6"}}, "'delay_for'"},
		"no delay":  {url.Values{"query": {`{pod="a"}`}, "delay_for": {"-1"}}, "'delay_for'"},
		"start":     {url.Values{"query": {`{pod="a"}`}, "start": {"soon"}}, "'start'"},
		"long ago":  {url.Values{"query": {`{pod="a"}`}, "start": {"1"}}, "maxQueryRange"},
	} {
		t.Run(name, func(t *testing.T) {
			_, resp, err := r.dial(tc.form)
			require.Error(t, err)
			require.Equal(t, http.StatusBadRequest, resp.StatusCode)
			body := make([]byte, 500)
			n, _ := resp.Body.Read(body)
			require.Contains(t, string(body[:n]), tc.want)
		})
	}
	_, resp, err := r.dial(url.Values{"query": {`{pod="a"}`}}, "Origin", "http://elsewhere.example")
	require.Error(t, err)
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
}

// TestTailsOfTheFutureAreBounded like all others, though nothing is looked for
// before they begin.
func TestTailsOfTheFutureAreBounded(t *testing.T) {
	r := newTailRig(t)
	start := strconv.FormatInt(time.Now().Add(time.Hour).UnixNano(), 10)
	for want, form := range map[string]url.Values{
		"refused by templates":    {"query": {"{a=`b`} | line_format `{{ repeat 1000000000 \"x\" }}`"}},
		"refused by maxQueryText": {"query": {"{a=`b`} |= `" + strings.Repeat("x", 70<<10) + "`"}},
		"refused by maxLines":     {"query": {"{a=`b`}"}, "limit": {"100000"}},
		"only log queries":        {"query": {"rate({a=`b`}[1m])"}},
	} {
		form.Set("start", start)
		rec := do(r.handler, http.MethodGet, "/loki/api/v1/tail", form)
		require.Equal(t, http.StatusBadRequest, rec.Code, want)
		require.Contains(t, rec.Body.String(), want)
	}
}
