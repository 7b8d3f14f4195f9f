package tempo_test

import (
	"archive/tar"
	"bufio"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/ulikunitz/xz"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/tempo"
	"github.com/yagura-dev/yagura/query/traces"
)

// trainTicket is the spans of two minutes of a real system: columns are trace, span,
// parent or "root", pod, operation, start and end. As the recipes for measuring do, each
// span gets a user and a status from a hash of its ids.
func trainTicket(t testing.TB) (out []traces.Span) {
	f, err := os.Open(filepath.Join(sharedData(t, "correlated"), "train-ticket-2023-01-29.tar.xz"))
	require.NoError(t, err)
	defer f.Close()
	x, err := xz.NewReader(bufio.NewReaderSize(f, 1<<20))
	require.NoError(t, err)
	archive := tar.NewReader(x)
	seen := map[traces.SpanID]bool{}
	for files := 0; files < 2; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if filepath.Base(filepath.Dir(h.Name)) != "trace" || !strings.HasSuffix(h.Name, ".csv") {
			continue
		}
		files++
		r := csv.NewReader(archive)
		_, err = r.Read()
		require.NoError(t, err)
		for {
			x, err := r.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			s := trainTicketSpan(t, x)
			if !seen[s.SpanID] {
				seen[s.SpanID] = true
				out = append(out, s)
			}
		}
	}
	require.NotEmpty(t, out)
	return out
}

func trainTicketSpan(t testing.TB, x []string) traces.Span {
	s := traces.Span{Name: x[4], Kind: traces.KindInternal}
	id := func(dst []byte, text string) {
		b, err := hex.DecodeString(text)
		require.NoError(t, err)
		copy(dst, b)
	}
	id(s.TraceID[:], x[0])
	id(s.SpanID[:], x[1])
	if x[2] != "root" {
		id(s.ParentSpanID[:], x[2])
	}
	var err error
	s.Start, err = strconv.ParseInt(x[5], 10, 64)
	require.NoError(t, err)
	s.End, err = strconv.ParseInt(x[6], 10, 64)
	require.NoError(t, err)
	h := fnv.New64a()
	h.Write(s.TraceID[:])
	h.Write(s.SpanID[:])
	n := h.Sum64()
	n ^= n >> 33
	n *= 0xff51afd7ed558ccd
	n ^= n >> 33
	status := "200"
	if n%100 < 2 {
		status, s.StatusCode = "500", traces.StatusError
	}
	s.Attributes = []traces.Attribute{
		{Key: "http.status_code", Text: status, Type: columnar.Int},
		{Key: "user.id", Text: fmt.Sprintf("user-%03d", (n>>16)%300)},
	}
	pod := strings.Split(x[3], "-")
	s.ResourceAttributes = []traces.Attribute{
		{Key: "service.name", Text: strings.Join(pod[:max(1, len(pod)-2)], "-")}, {Key: "k8s.pod.name", Text: x[3]},
	}
	return s
}

// TestTrainTicket asks over HTTP for what can be counted by hand.
func TestTrainTicket(t *testing.T) {
	if testing.Short() {
		t.Skip("unpacks 200 MB")
	}
	if tempo.RaceEnabled {
		t.Skip("unpacks 200 MB, which takes minutes with the race detector and does nothing concurrently that other tests do not")
	}
	spans := trainTicket(t)
	store := openStore(t)
	for i, chunk := 0, 2000; i < len(spans); i += chunk {
		appendSpans(t, store, spans[i:min(i+chunk, len(spans))])
		if i == 4*chunk {
			require.NoError(t, store.Flush(t.Context()))
		}
	}
	byTrace := map[string][]traces.Span{}
	from, to := spans[0].Start, spans[0].Start
	for _, s := range spans {
		byTrace[s.TraceID.String()] = append(byTrace[s.TraceID.String()], s)
		from, to = min(from, s.Start), max(to, s.Start)
	}
	t.Logf("%d spans of %d traces", len(spans), len(byTrace))
	e := newServer(t, store, tempo.DefaultConfig())
	window := []string{"start", strconv.FormatInt(from/1e9, 10), "end", strconv.FormatInt(to/1e9+1, 10)}
	user := func(s traces.Span) string { return s.Attributes[1].Text }
	service := spans[len(spans)/2].Service()

	for query, holds := range map[string]func(s traces.Span, all []traces.Span) bool{
		"{ resource.service.name = `" + service + "` && span.user.id = `user-007` }": func(s traces.Span, _ []traces.Span) bool { return s.Service() == service && user(s) == "user-007" },
		"{ .user.id = `user-011` }": func(s traces.Span, _ []traces.Span) bool { return user(s) == "user-011" },
		"{ span.http.status_code >= 500 && duration > 5ms }": func(s traces.Span, _ []traces.Span) bool {
			return s.StatusCode == traces.StatusError && s.Duration() > 5e6
		},
		"{ nestedSetParent < 0 && duration > 200ms }": func(s traces.Span, _ []traces.Span) bool {
			return s.ParentSpanID.IsZero() && s.Duration() > 200e6
		},
		"{ duration > 20ms } > { status = error }": func(s traces.Span, all []traces.Span) bool {
			return s.StatusCode == traces.StatusError && slices.ContainsFunc(all, func(p traces.Span) bool {
				return p.SpanID == s.ParentSpanID && p.Duration() > 20e6
			})
		},
	} {
		want := map[string]int{}
		for id, all := range byTrace {
			for _, s := range all {
				if holds(s, all) {
					want[id]++
				}
			}
		}
		require.NotEmpty(t, want, query)
		got := map[string]int{}
		for _, tr := range getJSON[searchAnswer](t, e, "/api/search", append([]string{"q", query, "limit", "1500"}, window...)...).Traces {
			got[tr.TraceID] = tr.SpanSet.Matched
		}
		require.Equal(t, want, got, query)
	}

	counts := map[string]float64{}
	for _, s := range spans {
		counts[fmt.Sprintf("{resource_service_name=%q}", s.Service())]++
	}
	got := map[string]float64{}
	for _, s := range getJSON[rangeAnswer](t, e, "/api/metrics/query", append([]string{"q", "{} | count_over_time() by (resource.service.name)"}, window...)...).Series {
		got[s.PromLabels] = *s.Value
	}
	require.Equal(t, counts, got)

	for id, all := range byTrace {
		rec := get(t, e, "/api/traces/"+id, "application/protobuf")
		require.Equal(t, 200, rec.Code)
		require.Greater(t, rec.Body.Len(), len(all)*30)
		break
	}
}
