package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler"
	"github.com/yagura-dev/yagura/cmd/internal/agent"
	"github.com/yagura-dev/yagura/cmd/internal/config"
	"github.com/yagura-dev/yagura/cmd/internal/queryservice"
)

var update = flag.Bool("update", false, "write docs/reference/configuration.md anew")

const configurationHead = `# Configuration

One YAML file for every command, ` + "`--config`" + `. A command reads its section and leaves the others alone; flags win over the file;
an unknown field is an error that names it. These are the defaults; what each field means stands beside it in the code of its
room (the type ` + "`Config`" + ` in ` + "`collector/*`" + `, ` + "`query/*`" + ` and ` + "`autoscaler/*`" + `).

Durations are Prometheus' (15s, 1h30m), sizes with a unit are strings (16MiB), other sizes are bytes.
`

// TestConfigurationReference keeps the documented defaults the real ones, and real ones
// readable back: a default that its own validation refused would be no default.
func TestConfigurationReference(t *testing.T) {
	defaults, err := yaml.Marshal(map[string]any{
		config.Collector:  agent.DefaultConfig(),
		config.Query:      queryservice.DefaultConfig(),
		config.Autoscaler: autoscaler.DefaultConfig(),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := configurationHead + "\n```yaml\n" + string(defaults) + "```\n"
	path := filepath.Join("..", "..", "docs", "reference", "configuration.md")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the defaults are; go test ./cmd/yagura -run TestConfigurationReference -update", path)
	}

	file, err := config.Parse("defaults.yaml", defaults)
	if err != nil {
		t.Fatal(err)
	}
	var collector agent.Config
	var query queryservice.Config
	var scaler autoscaler.Config
	for _, err := range []error{
		file.Decode(config.Collector, &collector), file.Decode(config.Query, &query), file.Decode(config.Autoscaler, &scaler),
		collector.Validate(), query.Validate(), scaler.Validate(),
	} {
		if err != nil {
			t.Error(err)
		}
	}
}

// TestAgesAgree holds the two bounds together that must be equal by default: what waits
// longest in the collector's queue must still be accepted by the TSDB.
func TestAgesAgree(t *testing.T) {
	if queue, tsdb := agent.DefaultConfig().Queue.MaxAge, queryservice.DefaultConfig().Metrics.OutOfOrderWindow; queue != tsdb {
		t.Errorf("collector.queue.maxAge is %s and query.metrics.outOfOrderWindow %s", queue, tsdb)
	}
}

func TestPrintLogs(t *testing.T) {
	for name, tc := range map[string]struct{ answer, want string }{
		"streams, oldest first": {
			`{"data":{"resultType":"streams","result":[{"stream":{"pod":"b","app":"x"},"values":[["2000000000","two"],["1000000000","one"]]}]}}`,
			"1970-01-01T00:00:01.000Z {app=\"x\", pod=\"b\"} one\n1970-01-01T00:00:02.000Z {app=\"x\", pod=\"b\"} two\n",
		},
		"a series": {
			`{"data":{"resultType":"matrix","result":[{"metric":{"app":"x"},"values":[[1.5,"3"]]}]}}`,
			"1970-01-01T00:00:01.500Z {app=\"x\"} 3\n",
		},
		"nothing": {`{"data":{"resultType":"streams","result":[]}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := printLogs(&out, []byte(tc.answer), false); err != nil {
				t.Fatal(err)
			}
			if out.String() != tc.want {
				t.Errorf("printed %q, want %q", out.String(), tc.want)
			}
		})
	}
	if err := printLogs(&strings.Builder{}, []byte(`{"data":{"result":[{"values":[["x"]]}]}}`), false); err == nil {
		t.Error("a broken answer is no error")
	}
}
