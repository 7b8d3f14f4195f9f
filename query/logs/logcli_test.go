package logs_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/grafana/loki/v3/pkg/logcli/client"
	"github.com/grafana/loki/v3/pkg/logcli/volume"
	"github.com/grafana/loki/v3/pkg/loghttp"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/util/unmarshal"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

// TestLogcli asks the questions of Loki's command line by its own client.
func TestLogcli(t *testing.T) {
	r := newTailRig(t)
	now := time.Now().Truncate(time.Second)
	begin := now.Add(-time.Minute)
	for _, pod := range []string{"a", "b"} {
		for i := range 60 {
			level := "info"
			if i%10 == 0 {
				level = "error"
			}
			appendRows(t, r.tailers, labels.FromStrings("service_name", "shop", "pod", pod),
				row(begin.Add(time.Duration(i)*time.Second).UnixNano(), fmt.Sprintf("level=%s n=%02d", level, i), "trace_id", fmt.Sprintf("t%d", i)))
		}
	}
	c := &client.DefaultClient{Address: r.url}

	res, err := c.QueryRange(`{service_name="shop"} | logfmt | level="error"`, 100, begin, now, logproto.FORWARD, 0, 0, true)
	require.NoError(t, err)
	lines := 0
	for _, s := range res.Data.Result.(loghttp.Streams) {
		require.Equal(t, "error", s.Labels["level"])
		lines += len(s.Entries)
	}
	require.Equal(t, 12, lines)
	require.Positive(t, res.Data.Statistics.Summary.TotalLinesProcessed)

	res, err = c.Query(`sum(count_over_time({pod="a"}[1m]))`, 1, now.Add(-time.Millisecond), logproto.BACKWARD, true)
	require.NoError(t, err)
	require.EqualValues(t, 60, res.Data.Result.(loghttp.Vector)[0].Value)

	names, err := c.ListLabelNames(true, begin, now)
	require.NoError(t, err)
	require.Equal(t, []string{"pod", "service_name"}, names.Data)
	values, err := c.ListLabelValues("pod", true, begin, now)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, values.Data)
	series, err := c.Series([]string{`{pod="a"}`}, begin, now, true)
	require.NoError(t, err)
	require.Equal(t, []loghttp.LabelSet{{"pod": "a", "service_name": "shop"}}, series.Data)

	stats, err := c.GetStats(`{service_name="shop"}`, begin, now, true)
	require.NoError(t, err)
	require.EqualValues(t, 120, stats.Entries)
	require.EqualValues(t, 2, stats.Streams)
	vol := &volume.Query{QueryString: `{service_name="shop"}`, Start: begin, End: now, Limit: 10, Quiet: true, TargetLabels: []string{"pod"}}
	res, err = c.GetVolume(vol)
	require.NoError(t, err)
	require.Len(t, res.Data.Result.(loghttp.Vector), 2)
	vol.Step, vol.AggregateByLabels = 10*time.Second, true
	res, err = c.GetVolumeRange(vol)
	require.NoError(t, err)
	require.Equal(t, loghttp.ResultType("matrix"), res.Data.ResultType)

	fields, err := c.GetDetectedFields(`{service_name="shop"}`, "", 50, 100, begin, now, 0, true)
	require.NoError(t, err)
	require.Len(t, fields.Fields, 3)
	fields, err = c.GetDetectedFields(`{service_name="shop"}`, "level", 50, 100, begin, now, 0, true)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"info", "error"}, fields.Values)

	conn, err := c.LiveTailQueryConn(`{pod="a"} |= "n="`, time.Second, 5, begin, true)
	require.NoError(t, err)
	defer conn.Close()
	var tail loghttp.TailResponse
	require.NoError(t, unmarshal.ReadTailResponseJSON(&tail, conn))
	require.Len(t, tail.Streams, 5, "each line has a trace id of its own")

	require.NoError(t, c.CreateDeleteRequest(client.DeleteRequestParams{
		Query: `{pod="b"}`, Start: fmt.Sprint(begin.Unix()), End: fmt.Sprint(now.Unix()),
	}, true))
	deletions, err := c.ListDeleteRequests(true)
	require.NoError(t, err)
	require.Len(t, deletions, 1)
	require.Equal(t, begin.Unix(), deletions[0].StartTime)
	res, err = c.Query(`count_over_time({pod="b"}[1m])`, 1, now, logproto.BACKWARD, true)
	require.NoError(t, err)
	require.Empty(t, res.Data.Result.(loghttp.Vector))
}
