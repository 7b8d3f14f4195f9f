package logs_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/grafana/loki/v3/pkg/logcli/client"
	"github.com/grafana/loki/v3/pkg/loghttp"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/stretchr/testify/require"
)

// TestLogcli asks the questions of Loki's command line by its own client.
func TestLogcli(t *testing.T) {
	server := httptest.NewServer(shop(t))
	defer server.Close()
	c := &client.DefaultClient{Address: server.URL}
	end := epoch.Add(time.Minute)
	defer func() { server.CloseClientConnections() }()

	res, err := c.QueryRange(`{service_name="shop"} | logfmt | level="error"`, 100, epoch, end, logproto.FORWARD, 0, 0, true)
	require.NoError(t, err)
	lines := 0
	for _, s := range res.Data.Result.(loghttp.Streams) {
		require.Equal(t, "error", s.Labels["level"])
		lines += len(s.Entries)
	}
	require.Equal(t, 12, lines)
	require.Positive(t, res.Data.Statistics.Summary.TotalLinesProcessed)

	res, err = c.Query(`sum(count_over_time({pod="a"}[1m]))`, 1, end, logproto.BACKWARD, true)
	require.NoError(t, err)
	require.EqualValues(t, 59, res.Data.Result.(loghttp.Vector)[0].Value)

	names, err := c.ListLabelNames(true, epoch, end)
	require.NoError(t, err)
	require.Equal(t, []string{"pod", "service_name"}, names.Data)
	values, err := c.ListLabelValues("pod", true, epoch, end)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, values.Data)
	series, err := c.Series([]string{`{pod="a"}`}, epoch, end, true)
	require.NoError(t, err)
	require.Equal(t, []loghttp.LabelSet{{"pod": "a", "service_name": "shop"}}, series.Data)
}
