package signal

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// logSelector is one stream selector of a LogQL query.
type logSelector struct {
	text     string
	matchers []*labels.Matcher
}

var errOpenString = errors.New("a string is not closed")

// logSelectors returns the stream selectors of a LogQL query, each once, in the order in which they stand. Outside of strings and
// comments, braces stand in stream selectors only, and what is between them has the grammar of PromQL; so finding them needs no
// parser of the whole language.
func logSelectors(p parser.Parser, query string) ([]logSelector, error) {
	var selectors []logSelector
	for i := 0; i < len(query); {
		switch query[i] {
		case '"', '`':
			end, err := endOfString(query, i)
			if err != nil {
				return nil, err
			}
			i = end
		case '#':
			i = endOfLine(query, i)
		case '}':
			return nil, errors.New("a } without a {")
		case '{':
			end, err := endOfSelector(query, i)
			if err != nil {
				return nil, err
			}
			s, err := parseLogSelector(p, query[i:end])
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(selectors, func(o logSelector) bool { return o.text == s.text }) {
				selectors = append(selectors, s)
			}
			i = end
		default:
			i++
		}
	}
	return selectors, nil
}

func parseLogSelector(p parser.Parser, text string) (logSelector, error) {
	matchers, err := p.ParseMetricSelector(withoutComments(text))
	if err != nil {
		return logSelector{}, fmt.Errorf("stream selector %s: %w", text, err)
	}
	parts := make([]string, len(matchers))
	for i, m := range matchers {
		parts[i] = m.String()
	}
	return logSelector{text: "{" + strings.Join(parts, ", ") + "}", matchers: matchers}, nil
}

// endOfString returns the position after the string that begins at start.
func endOfString(query string, start int) (int, error) {
	quote := query[start]
	for i := start + 1; i < len(query); i++ {
		switch {
		case query[i] == quote:
			return i + 1, nil
		case query[i] == '\\' && quote == '"':
			i++
		}
	}
	return 0, errOpenString
}

// endOfLine returns the position of the line break that ends the comment at start, or the end of the query.
func endOfLine(query string, start int) int {
	if n := strings.IndexByte(query[start:], '\n'); n >= 0 {
		return start + n
	}
	return len(query)
}

// endOfSelector returns the position after the selector that begins at start.
func endOfSelector(query string, start int) (int, error) {
	for i := start + 1; i < len(query); {
		switch query[i] {
		case '"', '`':
			end, err := endOfString(query, i)
			if err != nil {
				return 0, err
			}
			i = end
		case '#':
			i = endOfLine(query, i)
		case '}':
			return i + 1, nil
		case '{':
			return 0, errors.New("a { within a stream selector")
		default:
			i++
		}
	}
	return 0, errors.New("a { without a }")
}

// withoutComments blanks out comments, which PromQL's grammar for a lone selector does not know.
func withoutComments(text string) string {
	if !strings.Contains(text, "#") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		switch text[i] {
		case '"', '`':
			end, err := endOfString(text, i)
			if err != nil {
				return text
			}
			b.WriteString(text[i:end])
			i = end
		case '#':
			i = endOfLine(text, i)
		default:
			b.WriteByte(text[i])
			i++
		}
	}
	return b.String()
}

// heartbeatMetric is the gauge by which a collector says every few seconds which log sources it reads, silent ones included.
const heartbeatMetric = "yagura_log_source_heartbeat_timestamp_seconds"

// sourceLabels are the labels that a log source and its heartbeat have in common.
var sourceLabels = []string{"service_name", "cluster", "namespace", "pod", "container", "node"}

// identifying are the labels of which a selector must name one, so that a heartbeat is that source's and not a neighbour's in the
// same namespace or on the same node.
var identifying = []string{"service_name", "pod", "container"}

// heartbeat returns the selector of the heartbeats of the sources that a stream selector selects. It is empty when heartbeats
// cannot tell those sources from others: when the selector asks for a label that heartbeats lack, or names no service, pod or
// container. Then only lines are a sign of life.
func (s logSelector) heartbeat() string {
	var parts []string
	named := false
	for _, m := range s.matchers {
		if !slices.Contains(sourceLabels, m.Name) {
			return ""
		}
		positive := m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp
		named = named || positive && m.Value != "" && slices.Contains(identifying, m.Name)
		parts = append(parts, m.String())
	}
	if !named {
		return ""
	}
	return heartbeatMetric + "{" + strings.Join(parts, ",") + "}"
}
