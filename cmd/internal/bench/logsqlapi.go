package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// readLogsQLLines reads an answer with lines: a JSON object for each.
func readLogsQLLines(body []byte) (answer, error) {
	lines, err := decodeLogsQLLines(body)
	if err != nil {
		return answer{}, err
	}
	return linesAnswer(lines), nil
}

func decodeLogsQLLines(body []byte) ([]storedLine, error) {
	var lines []storedLine
	d := json.NewDecoder(bytes.NewReader(body))
	for {
		var l struct {
			Time time.Time `json:"_time"`
			Msg  string    `json:"_msg"`
		}
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return lines, nil
		} else if err != nil {
			return nil, fmt.Errorf("a line: %w", err)
		}
		lines = append(lines, storedLine{l.Time.UnixNano(), l.Msg})
	}
}

// readLogsQLValues reads the values of a field.
func readLogsQLValues(body []byte) (answer, error) {
	var a struct {
		Values []struct {
			Value string `json:"value"`
		} `json:"values"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, err
	}
	var values []string
	for _, v := range a.Values {
		if v.Value != "" { // lines without the field count as one value
			values = append(values, v.Value)
		}
	}
	return valuesAnswer(values), nil
}
