package logs_test

import (
	"context"
	"strings"
	"testing"
	"time"

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
		"{app=~`.+`} | line_format `{{ repeat 1000000000 \"x\" }}`":                                       "templates",
		"{app=~`.+`} | line_format `{{ repeat 2000 (repeat 2000 \"x\") }}`":                               "templates",
		"{app=~`.+`} | line_format `{{ $x := repeat 2000 \"x\" }}{{ repeat 2000 $x }}`":                   "templates",
		"{app=~`.+`} | line_format `{{ repeat (int .size) \"x\" }}`":                                      "templates",
		"{app=~`.+`} | label_format x=`{{ alignLeft 1000000000 .app }}`":                                  "templates",
		"{app=~`.+`} | line_format `{{ range 1000000000 }}x{{ end }}`":                                    "templates",
		"{app=~`.+`} | line_format `{{ with 1000000000 }}{{ range . }}x{{ end }}{{ end }}`":               "templates",
		"{app=~`.+`} | line_format `{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}`": "templates",
		"{app=~`.+`} | line_format `{{ printf \"%999999d\" 1 }}`":                                         "templates",
		"{app=~`.+`} | line_format `{{ Replace __line__ \"\" __line__ -1 }}`":                             "templates",
		"{app=~`.+`} | line_format `{{ __line__ " + strings.Repeat("| b64enc ", 50) + "}}`":               "templates",
		"count_over_time({app=~`.+`} | line_format `{{ repeat 1000000000 \"x\" }}` | json [1m])":          "templates",
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
