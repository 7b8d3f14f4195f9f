package bench

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// normalID brings a trace id to 32 hexadecimal digits: some stores leave leading
// zeros out.
func normalID(id string) string {
	if len(id) < 32 {
		id = strings.Repeat("0", 32-len(id)) + id
	}
	return strings.ToLower(id)
}

// jaegerTraces is Jaeger's answer with traces.
type jaegerTraces struct {
	Data []struct {
		TraceID string `json:"traceID"`
		Spans   []struct {
			SpanID string `json:"spanID"`
		} `json:"spans"`
	} `json:"data"`
}

// readJaegerTrace reads the ids of the spans of one trace.
func readJaegerTrace(body []byte) ([]string, error) {
	var a jaegerTraces
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	var ids []string
	for _, t := range a.Data {
		for _, s := range t.Spans {
			ids = append(ids, strings.ToLower(s.SpanID))
		}
	}
	return ids, nil
}

// readJaegerSearch reads which traces were found.
func readJaegerSearch(body []byte) (answer, error) {
	var a jaegerTraces
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, err
	}
	var ids []string
	for _, t := range a.Data {
		ids = append(ids, normalID(t.TraceID))
	}
	return valuesAnswer(ids), nil
}

// tempoSpans are the spans of one resource, under the names of several versions.
type tempoSpans struct {
	ScopeSpans []struct {
		Spans []struct {
			SpanID string `json:"spanId"`
		} `json:"spans"`
	} `json:"scopeSpans"`
}

// readTempoTrace reads the ids of the spans of one trace.
func readTempoTrace(body []byte) ([]string, error) {
	var a struct {
		Batches       []tempoSpans `json:"batches"`
		ResourceSpans []tempoSpans `json:"resourceSpans"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	var ids []string
	for _, r := range append(a.Batches, a.ResourceSpans...) {
		for _, scope := range r.ScopeSpans {
			for _, s := range scope.Spans {
				id, err := tempoSpanID(s.SpanID)
				if err != nil {
					return nil, err
				}
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// tempoSpanID reads base64, as protobuf's JSON has it, or hexadecimal digits, as
// OTLP's has it.
func tempoSpanID(s string) (string, error) {
	if len(s) == 16 {
		return strings.ToLower(s), nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != len(spanID{}) {
		return "", fmt.Errorf("a span id that is none: %q", s)
	}
	return hex.EncodeToString(b), nil
}

// readTempoSearch reads which traces were found.
func readTempoSearch(body []byte) (answer, error) {
	var a struct {
		Traces []struct {
			TraceID string `json:"traceID"`
		} `json:"traces"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, err
	}
	var ids []string
	for _, t := range a.Traces {
		ids = append(ids, normalID(t.TraceID))
	}
	return valuesAnswer(ids), nil
}

// readTempoValues reads the values of a tag.
func readTempoValues(body []byte) (answer, error) {
	var a struct {
		TagValues []struct {
			Value string `json:"value"`
		} `json:"tagValues"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, err
	}
	var values []string
	for _, v := range a.TagValues {
		values = append(values, v.Value)
	}
	return valuesAnswer(values), nil
}

// readTrace makes an answer of the ids of a trace's spans.
func readTrace(ids func([]byte) ([]string, error)) func([]byte) (answer, error) {
	return func(body []byte) (answer, error) {
		found, err := ids(body)
		return valuesAnswer(found), err
	}
}
