package signal

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVectorGivesAllSeries(t *testing.T) {
	s := newService(t, `load 10s
  queue{shard="a"} 1+1x10
  queue{shard="b"} 10+10x10`).at(100 * time.Second)
	points, err := s.client(t, nil).Tick().Vector(t.Context(), "queue")
	require.NoError(t, err)
	require.Len(t, points, 2)
	values := map[string]float64{}
	for _, p := range points {
		values[p.Labels["shard"]] = p.Value
	}
	assert.Equal(t, map[string]float64{"a": 11, "b": 110}, values)
	_, err = s.client(t, nil).Tick().Vector(t.Context(), "queue[1m]")
	assert.Error(t, err)
	_, err = s.client(t, nil).Tick().Vector(t.Context(), "queue{")
	assert.True(t, Refused(err), "%v", err)
}

func TestRange(t *testing.T) {
	s := newService(t, `load 10s
  queue{shard="a"} 1+1x5 _x5 20
  queue{shard="b"} NaN +Inf -Inf 4`).at(110 * time.Second)
	c := s.client(t, nil)
	q := RangeQuery{Query: "last_over_time(queue[9s])", Start: time.Unix(0, 0), End: time.Unix(110, 0), Step: 10 * time.Second, Timeout: 5 * time.Second}
	series, err := c.Range(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, series, 2)
	assert.Equal(t, []TimePoint{{0, 1}, {10000, 2}, {20000, 3}, {30000, 4}, {40000, 5}, {50000, 6}, {110000, 20}}, series[0].Points)
	assert.Equal(t, "a", series[0].Labels["shard"])
	b := series[1].Points
	require.Len(t, b, 4)
	assert.True(t, math.IsNaN(b[0].Value) && math.IsInf(b[1].Value, 1) && math.IsInf(b[2].Value, -1), "%v", b)

	q.Query = "sum(queue{)"
	_, err = c.Range(t.Context(), q)
	assert.True(t, Refused(err), "%v", err)
	q.Query, q.Step = "queue", time.Millisecond
	_, err = c.Range(t.Context(), q)
	assert.True(t, Refused(err), "more steps than a service takes")
	q.Step = time.Second
	s.fail = 503
	_, err = c.Range(t.Context(), q)
	require.Error(t, err)
	assert.False(t, Refused(err), "it may be answered next time")
}

func TestDecodeMatrix(t *testing.T) {
	for _, test := range []struct {
		name, values string
		want         []TimePoint // nil for an error
	}{
		{"fractions of a second", `[[1700000000.781,"1.5e3"],[1700000001,"-0.25"]]`, []TimePoint{{1700000000781, 1500}, {1700000001000, -0.25}}},
		{"blanks", "[ [ 1 , \"2\" ] ,\n[2,\"3\"]]", []TimePoint{{1000, 2}, {2000, 3}}},
		{"a number without quotes", `[[1,2]]`, nil},
		{"a triple", `[[1,"2","3"]]`, nil},
		{"an object", `{"a":1}`, nil},
		{"no number", `[[1,"x"]]`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			series, err := decodeMatrix([]byte(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":` + test.values + `}]}}`))
			if test.want == nil {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, series[0].Points)
		})
	}
	series, err := decodeMatrix([]byte(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"histograms":[]},{"values":null}]}}`))
	require.NoError(t, err)
	assert.Empty(t, series)
	_, err = decodeMatrix([]byte(`{"status":"success","data":{"resultType":"vector","result":[]}}`))
	require.Error(t, err)
}

// FuzzTimePoints compares the reader with the one by reflection that the instant answers have.
func FuzzTimePoints(f *testing.F) {
	f.Add(`[[1700000000.5,"1.25"],[2,"NaN"]]`)
	f.Add(`[]`)
	f.Add(`[[1e3,"+Inf"]]`)
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return
		}
		var got timePoints
		if json.Unmarshal([]byte(text), &got) != nil {
			return
		}
		var want []sampleValue
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("read %d points of what is none: %v", len(got), err)
		}
		if len(want) != len(got) {
			t.Fatalf("%d points, not %d", len(got), len(want))
		}
		for i := range got {
			if got[i].Value != want[i].value && !(math.IsNaN(got[i].Value) && math.IsNaN(want[i].value)) {
				t.Fatalf("%v, not %v", got[i], want[i])
			}
		}
	})
}

// BenchmarkDecodeMatrix decodes a week of 5 minutes of 20 series.
func BenchmarkDecodeMatrix(b *testing.B) {
	var text strings.Builder
	text.WriteString(`{"status":"success","data":{"resultType":"matrix","result":[`)
	for i := range 20 {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(`{"metric":{"role":"default"},"values":[`)
		for j := range 2016 {
			if j > 0 {
				text.WriteByte(',')
			}
			text.WriteString(`[` + strconv.Itoa(1700000000+300*j) + `,"0.` + strconv.Itoa(1234567+j) + `"]`)
		}
		text.WriteString("]}")
	}
	text.WriteString("]}}")
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if _, err := decodeMatrix([]byte(text.String())); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(20*2016), "ns/point")
}
