package replay_test

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/autoscaler/replay"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

func readAll(text string) ([]replay.Sample, error) {
	r := replay.NewReader(strings.NewReader(text), "usage.csv", vertical.CPU, "web")
	var all []replay.Sample
	for {
		s, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
}

func TestRead(t *testing.T) {
	sample := func(at time.Time, usage float64, container string) replay.Sample {
		return replay.Sample{Container: container, Resource: vertical.CPU, Time: at, Usage: usage}
	}
	at := time.Date(2026, 1, 5, 12, 30, 0, 0, time.UTC)
	tests := map[string]struct {
		text string
		want []replay.Sample
	}{
		"nothing":                  {"", nil},
		"only a header":            {"timestamp,value\n", nil},
		"Unix seconds":             {"1767616200,0.5", []replay.Sample{sample(at, 0.5, "web")}},
		"fractions of seconds":     {"1767616200.25,0.5\n", []replay.Sample{sample(at.Add(250*time.Millisecond), 0.5, "web")}},
		"an exponent":              {"1.7676162e9,5e-1\n", []replay.Sample{sample(at, 0.5, "web")}},
		"RFC 3339":                 {"2026-01-05T12:30:00Z,1\n", []replay.Sample{sample(at, 1, "web")}},
		"an offset and a fraction": {"2026-01-05T21:30:00.5+09:00,1\n", []replay.Sample{sample(at.Add(time.Second/2), 1, "web")}},
		"a blank for the T":        {"2026-01-05 12:30:00,1\n", []replay.Sample{sample(at, 1, "web")}},
		"a header and containers": {"ts,value,container\n1767616200,1,a\n1767616200,2,b\n1767616260,3,a\n",
			[]replay.Sample{sample(at, 1, "a"), sample(at, 2, "b"), sample(at.Add(time.Minute), 3, "a")}},
		"an empty container":    {"1767616200,1,\n", []replay.Sample{sample(at, 1, "web")}},
		"carriage returns":      {"timestamp,value\r\n1767616200,1\r\n", []replay.Sample{sample(at, 1, "web")}},
		"a byte order mark":     {"\ufefftimestamp,value\n1767616200,1\n", []replay.Sample{sample(at, 1, "web")}},
		"blanks and empty rows": {"\n 1767616200 , 1 \n\n", []replay.Sample{sample(at, 1, "web")}},
		"quotes":                {`"timestamp","value","container"` + "\n" + `"1767616200","1","a, ""b"""`, []replay.Sample{sample(at, 1, `a, "b"`)}},
		"order is not its task": {"1767616200,1\n1767616140,1\n", []replay.Sample{sample(at, 1, "web"), sample(at.Add(-time.Minute), 1, "web")}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(tc.text)
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestReadErrors(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"one field":                    {"1767616200\n", "usage.csv:1: 1 fields: want timestamp,value"},
		"five fields":                  {"timestamp,value\n1767616200,1,a,b,c\n", "usage.csv:2: 5 fields"},
		"no time":                      {"timestamp,value\nyesterday,1\n", `usage.csv:2: timestamp "yesterday": want Unix seconds or RFC 3339`},
		"no time in the first row":     {"yesterday,1\n", `usage.csv:1: timestamp "yesterday"`},
		"no number":                    {"1767616200,many\n", `usage.csv:1: value "many": not a number`},
		"no value":                     {"\n\n1767616200,\n", `usage.csv:3: value "": not a number`},
		"NaN":                          {"1767616200,NaN\n", `usage.csv:1: value "NaN": want a finite number`},
		"infinite":                     {"1767616200,-Inf\n", `usage.csv:1: value "-Inf": want a finite number`},
		"too large":                    {"1767616200,1e999\n", `usage.csv:1: value "1e999": out of range`},
		"more than there is":           {"1767616200,1e19\n", `usage.csv:1: value "1e19": out of range`},
		"negative":                     {"1767616200,-0.1\n", `usage.csv:1: value "-0.1": must not be negative`},
		"milliseconds":                 {"1767616200000,1\n", "usage.csv:1: timestamp \"1767616200000\": after the year 9999; want seconds"},
		"before 1970":                  {"-1,1\n", "usage.csv:1: timestamp \"-1\": before 1970"},
		"NaN as time":                  {"NaN,NaN\n", "usage.csv:1: timestamp \"NaN\": want a finite number"},
		"a broken first row":           {"2026-13-05,-x\n", "usage.csv:1: timestamp \"2026-13-05\""},
		"columns in another order":     {"value,timestamp\n1,1767616200\n", "usage.csv:1: column 1 is value: want timestamp,value"},
		"a quote that does not end":    {"1767616200,1,\"a\n", "usage.csv:1: "},
		"a row without end":            {"1767616200," + strings.Repeat("1", 1<<17), "usage.csv:1: a row of more than 65536 bytes"},
		"a container's name too long":  {"1767616200,1," + strings.Repeat("a", 513), "usage.csv:1: container \"aaaaaaaaaaaaaaaaaaaa\"…: longer than 512 bytes"},
		"a container's name not UTF-8": {"1767616200,1,\xff\xfe", "usage.csv:1: container"},
		"a second header":              {"timestamp,value\ntimestamp,value\n", `usage.csv:2: timestamp "timestamp"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(tc.text)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestReadFails(t *testing.T) {
	_, err := replay.NewReader(brokenReader{}, "usage.csv", vertical.CPU, "web").Read()
	require.ErrorContains(t, err, "read usage.csv: disk on fire")
}

func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"timestamp,value\n1767616200,1\n", "2026-01-05 12:30:00,0.5,web\r\n2026-01-05T12:30:00+09:00,1e3,b\n", "1767616200.5,0x1p-2\n",
		"\ufeff\"1\",\"2\",\"a\"\"b\"\n", "1,2,3,4\n", "NaN,Inf\n", ",,\n", "\"", "253402300799.9999999,0\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		samples, err := readAll(text)
		if err != nil && !strings.HasPrefix(err.Error(), "usage.csv:") {
			t.Fatalf("%v does not name the row", err)
		}
		engine, _ := replay.New(replay.Config{Model: factory(1)})
		for _, s := range samples {
			if math.IsNaN(s.Usage) || math.IsInf(s.Usage, 0) || s.Usage < 0 || s.Container == "" || s.Time.Unix() < 0 {
				t.Fatalf("%+v is no sample", s)
			}
			_, _ = engine.Step(s)
		}
		for resource, totals := range engine.Summary() {
			if resource != vertical.CPU || !(totals.Slack >= 0 && totals.Slack <= 1) || !(totals.OverRequest >= 0 && totals.OverRequest <= 1) {
				t.Fatalf("%s: %+v", resource, totals)
			}
		}
	})
}
