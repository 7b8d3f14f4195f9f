package bench

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// readLokiLines reads an answer with lines.
func readLokiLines(body []byte) (answer, error) {
	lines, err := decodeLokiLines(body)
	if err != nil {
		return answer{}, err
	}
	return linesAnswer(lines), nil
}

// storedLine is a line as a store gives it back.
type storedLine struct {
	ts   int64
	line string
}

func linesAnswer(lines []storedLine) answer {
	a := answer{Rows: len(lines)}
	for _, l := range lines {
		a.Digest += digestLine(l.ts, l.line)
	}
	return a
}

func decodeLokiLines(body []byte) ([]storedLine, error) {
	var a struct {
		Data struct {
			ResultType string `json:"resultType"`
			Result     []struct {
				Values [][]json.RawMessage `json:"values"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	if a.Data.ResultType != "streams" {
		return nil, fmt.Errorf("a result of type %q, want streams", a.Data.ResultType)
	}
	var lines []storedLine
	for _, s := range a.Data.Result {
		for _, v := range s.Values {
			if len(v) < 2 {
				return nil, fmt.Errorf("a line of %d parts", len(v))
			}
			var nanos string
			var l storedLine
			if err := json.Unmarshal(v[0], &nanos); err != nil {
				return nil, fmt.Errorf("a line's time: %w", err)
			}
			var err error
			if l.ts, err = strconv.ParseInt(nanos, 10, 64); err != nil {
				return nil, fmt.Errorf("a line's time: %w", err)
			}
			if err := json.Unmarshal(v[1], &l.line); err != nil {
				return nil, fmt.Errorf("a line: %w", err)
			}
			lines = append(lines, l)
		}
	}
	return lines, nil
}

// readLokiValues reads the values of a label.
func readLokiValues(body []byte) (answer, error) {
	var a struct {
		Data []string `json:"data"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, err
	}
	return valuesAnswer(a.Data), nil
}

func valuesAnswer(values []string) answer {
	a := answer{Rows: len(values)}
	for _, v := range values {
		a.Digest += digestID(v)
	}
	return a
}
