package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// samplesAnswer is how Prometheus, Loki and VictoriaLogs answer with samples.
type samplesAnswer struct {
	Data struct {
		ResultType string `json:"resultType"`
		Result     []struct {
			Metric map[string]string    `json:"metric"`
			Value  [2]json.RawMessage   `json:"value"`
			Values [][2]json.RawMessage `json:"values"`
		} `json:"result"`
	} `json:"data"`
}

// readSamples sums, for every value of a label, the samples of all series that have
// it, times scale. NaN counts as nothing: it has no sum.
func readSamples(label string, scale float64) func([]byte) (answer, error) {
	return func(body []byte) (answer, error) {
		var a samplesAnswer
		if err := json.Unmarshal(body, &a); err != nil {
			return answer{}, err
		}
		if a.Data.ResultType != "vector" && a.Data.ResultType != "matrix" {
			return answer{}, fmt.Errorf("a result of type %q, want samples", a.Data.ResultType)
		}
		out := answer{Rows: len(a.Data.Result), Groups: map[string]float64{}}
		for _, s := range a.Data.Result {
			samples := s.Values
			if a.Data.ResultType == "vector" {
				samples = [][2]json.RawMessage{s.Value}
			}
			for _, v := range samples {
				f, err := sampleValue(v)
				if err != nil {
					return answer{}, err
				}
				if !math.IsNaN(f) {
					out.Groups[s.Metric[label]] += f * scale
				}
			}
		}
		return out, nil
	}
}

func sampleValue(sample [2]json.RawMessage) (float64, error) {
	var text string
	if err := json.Unmarshal(sample[1], &text); err != nil {
		return 0, fmt.Errorf("a sample's value: %w", err)
	}
	return strconv.ParseFloat(text, 64)
}
