package bench

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// api is a way to ask a target.
type api string

const (
	apiLoki       api = "loki"
	apiLogsQL     api = "logsql"
	apiJaeger     api = "jaeger"
	apiTempo      api = "tempo"
	apiPrometheus api = "prometheus"
)

// endpoint is where a target serves an api. Paths of calls are relative to its URL.
type endpoint struct {
	api api
	url string
}

// endpoints are the ways to ask a target about a signal. Yagura answers two about
// traces, each of which is measured.
func (t Target) endpoints(s Signal) []endpoint {
	switch {
	case t.Kind == Yagura && s == Logs, t.Kind == Loki:
		return []endpoint{{apiLoki, t.URL}}
	case t.Kind == VictoriaLogs:
		return []endpoint{{apiLogsQL, t.URL}}
	case t.Kind == Yagura && s == Traces:
		return []endpoint{{apiJaeger, t.URL + "/jaeger"}, {apiTempo, t.URL + "/tempo"}}
	case t.Kind == Jaeger:
		return []endpoint{{apiJaeger, t.URL}}
	case t.Kind == VictoriaTraces:
		return []endpoint{{apiJaeger, t.URL + "/select/jaeger"}}
	case t.Kind == Tempo:
		return []endpoint{{apiTempo, t.URL}}
	case t.Kind == Yagura:
		return []endpoint{{apiPrometheus, t.URL + "/prometheus"}}
	default:
		return []endpoint{{apiPrometheus, t.URL}}
	}
}

// call is a query in the words of one api.
type call struct {
	path   string
	params url.Values
	read   func(body []byte) (answer, error)
}

// question is one of the fixed queries.
type question struct {
	Name  string
	About string
	calls map[api][]call // several where one api needs several; nothing where it cannot
	// want is the right answer; nil if only a store knows, so that targets can be
	// compared with each other alone.
	want *answer
	// wants overrides it for an api that answers otherwise.
	wants map[api]answer
}

// ask sends the calls of a question one after another and adds up their answers.
func (c *client) ask(ctx context.Context, at endpoint, calls []call) (answer, time.Duration, error) {
	var total answer
	var took time.Duration
	for _, call := range calls {
		body, t, err := c.get(ctx, at.url+call.path, call.params)
		took += t
		if err != nil {
			return answer{}, took, err
		}
		a, err := call.read(body)
		if err != nil {
			return answer{}, took, fmt.Errorf("read the answer of %s: %w", call.path, err)
		}
		total.Rows += a.Rows
		total.Digest += a.Digest
		if a.Groups != nil {
			total.Groups = a.Groups
		}
	}
	return total, took, nil
}

// window is a range of time for queries.
type window struct{ start, end time.Time }

func (w window) seconds() url.Values {
	return url.Values{"start": {strconv.FormatInt(w.start.Unix(), 10)}, "end": {strconv.FormatInt(w.end.Unix(), 10)}}
}

func (w window) nanos() url.Values {
	return url.Values{"start": {strconv.FormatInt(w.start.UnixNano(), 10)}, "end": {strconv.FormatInt(w.end.UnixNano(), 10)}}
}

// with returns a copy of params with more of them.
func with(params url.Values, more ...string) url.Values {
	out := url.Values{}
	for k, v := range params {
		out[k] = v
	}
	for i := 0; i+1 < len(more); i += 2 {
		out.Set(more[i], more[i+1])
	}
	return out
}
