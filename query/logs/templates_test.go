package logs_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/logs"
)

// TestQueriesOfDeath asks what would fill the memory or never end.
func TestQueriesOfDeath(t *testing.T) {
	store := openStore(t)
	c := hostileCorpus(t, store)
	cfg := logs.DefaultConfig()
	cfg.MaxAnswerBytes = 1 << 10
	cfg.MaxInnerSeries = 5
	engine, err := logs.NewEngine(store, cfg, discard, nil)
	require.NoError(t, err)
	for query, limit := range map[string]string{
		"{app=~`.+`} | line_format `{{ repeat 1000000000 \"x\" }}`":                                                 "templates",
		"{app=~`.+`} | line_format `{{ repeat 2000 (repeat 2000 \"x\") }}`":                                         "templates",
		"{app=~`.+`} | line_format `{{ $x := repeat 2000 \"x\" }}{{ repeat 2000 $x }}`":                             "templates",
		"{app=~`.+`} | line_format `{{ repeat (int .size) \"x\" }}`":                                                "templates",
		"{app=~`.+`} | label_format x=`{{ alignLeft 1000000000 .app }}`":                                            "templates",
		"{app=~`.+`} | line_format `{{ range 1000000000 }}x{{ end }}`":                                              "templates",
		"{app=~`.+`} | line_format `{{ with 1000000000 }}{{ range . }}x{{ end }}{{ end }}`":                         "templates",
		"{app=~`.+`} | line_format `{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}`":           "templates",
		"{app=~`.+`} | line_format `{{ printf \"%999999d\" 1 }}`":                                                   "templates",
		"{app=~`.+`} | line_format `{{ Replace __line__ \"\" __line__ -1 }}`":                                       "templates",
		"{app=~`.+`} | line_format `{{ __line__ " + strings.Repeat("| b64enc ", 50) + "}}`":                         "templates",
		"count_over_time({app=~`.+`} | line_format `{{ repeat 1000000000 \"x\" }}` | json [1m])":                    "templates",
		"{app=~`.+`} | line_format `{{ range fromJson __line__ }}{{ range fromJson __line__ }}x{{ end }}{{ end }}`": "templates",
		"{app=~`.+`} | line_format `{{ $x := .app }}{{ range fromJson __line__ }}{{ $x = print $x $x }}{{ end }}`":  "templates",
		"{app=~`.+`}" + strings.Repeat(" | line_format `{{ __line__ }}`", 51):                                       "templates",
		"{app=~`.+`}": "maxAnswerBytes",
		"sum(count_over_time({app=~`.+`}[5m])) + on() count(count_over_time({app=~`.+`}[5m]))": "maxInnerSeries",
	} {
		t.Run(query, func(t *testing.T) {
			_, err := engine.Exec(context.Background(), logs.Request{Query: query, Start: c.start, End: c.end, Step: time.Minute, Limit: 1000})
			var refused *logs.LimitError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, limit, refused.Limit)
		})
	}
	for _, query := range []string{
		"{app=`a`} | json | line_format `{{ .level | ToUpper | replace \"a\" \"bb\" }} {{ printf \"%-10s %5.2f\" .status 1.5 }}`",
		"{app=`a`} | line_format `{{ range $k, $v := fromJson __line__ }}{{ $k }}={{ alignRight 20 $v }} {{ end }}`",
		"{app=`a`} | line_format `" + strings.Repeat("{{ printf \"%s %s\" .app .pod }}", 30) + "`",
		"{app=`a`} |~ `" + strings.Repeat("(a?", 100) + strings.Repeat(")*", 100) + "`",
	} {
		_, err := engine.Exec(context.Background(), logs.Request{Query: query, Start: c.start, End: c.end, Step: time.Minute, Limit: 1})
		require.NoError(t, err, query)
	}
}

// TestTemplatesAreBoundedByRow has lines that grow from one stage to the next.
func TestTemplatesAreBoundedByRow(t *testing.T) {
	store := openStore(t)
	long := strings.Repeat("x", 40<<10)
	appendRows(t, store, labels.FromStrings("app", "long"), row(ns(0), long))
	appendRows(t, store, labels.FromStrings("app", "json"), row(ns(0), "["+strings.Repeat("1,", 20<<10)+"1]"))
	engine, err := logs.NewEngine(store, logs.DefaultConfig(), discard, nil)
	require.NoError(t, err)
	ten := strings.Repeat("{{ __line__ }}", 10)
	for _, query := range []string{
		"{app=`long`}" + strings.Repeat(" | line_format `"+ten+"`", 4),
		"{app=`long`} | line_format `{{ repeat 20000 __line__ }}`",
		"{app=`long`} | label_format a=`{{ repeat 100 __line__ }}`,b=`{{ repeat 50 __line__ }}`",
		"{app=`json`} | line_format `{{ range fromJson __line__ }}{{ __line__ }}{{ end }}`",
	} {
		res, err := engine.Exec(context.Background(), logs.Request{Query: query, Start: epoch, End: epoch.Add(time.Second), Step: time.Second, Limit: 10})
		require.NoError(t, err)
		streams := res.Data.(logqlmodel.Streams)
		require.Len(t, streams, 1)
		require.Contains(t, streams[0].Labels, `__error__="TemplateFormatErr"`, query[:40])
		require.LessOrEqual(t, len(streams[0].Entries[0].Line), 4<<20)
	}
	// What is long enough for them to be slow stops with the query.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = engine.Exec(ctx, logs.Request{Query: "{app=`json`} | line_format `{{ .app }} x`", Start: epoch, End: epoch.Add(time.Second), Step: time.Second, Limit: 10})
	require.ErrorIs(t, err, context.Canceled)
	// A line filter behind a line_format is about the line that it made.
	res, err := engine.Exec(context.Background(), logs.Request{Query: "{app=`long`} | line_format `y{{ .app }}` |= `ylong`", Start: epoch, End: epoch.Add(time.Second), Step: time.Second, Limit: 10})
	require.NoError(t, err)
	require.Len(t, res.Data, 1)
}
