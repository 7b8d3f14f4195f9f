package bench

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
)

const (
	// searchLimit is how many traces a search for some answers, allLimit is more than
	// there are of those of which all are searched for.
	searchLimit = 20
	allLimit    = 1000
)

// traceQuestions are the fixed queries about spans, for Jaeger's and Tempo's API.
func traceQuestions(t *traceTruth, w window) []question {
	one := t.traceSpans
	some := answer{Rows: min(searchLimit, len(t.serviceTraces))}
	failed := answer{Rows: min(searchLimit, len(t.errorTraces))}
	all := valuesAnswer(slices.Collect(maps.Keys(t.userTraces)))
	services := valuesAnswer(slices.Collect(maps.Keys(t.services)))

	// Jaeger searches one service at a time, so that all of them are asked, and a
	// trace is found once for each that has a matching span.
	var eachService []call
	for _, service := range slices.Sorted(maps.Keys(t.services)) {
		eachService = append(eachService, jaegerSearch(w, service, allLimit, `{"user.id":"`+t.user+`"}`))
	}
	var perService []string
	for k := range t.userByService {
		perService = append(perService, k[1])
	}
	ofService := `resource.service.name="` + t.service + `"`
	return []question{
		{
			Name: "trace by id", About: "a trace by its id", want: &one,
			calls: map[api][]call{
				apiJaeger: {{"/api/traces/" + t.trace.String(), nil, readTrace(readJaegerTrace)}},
				apiTempo:  {{"/api/traces/" + t.trace.String(), nil, readTrace(readTempoTrace)}},
			},
		}, {
			Name: "service", About: "20 traces of a service", want: &some,
			calls: map[api][]call{
				apiJaeger: {jaegerSearch(w, t.service, searchLimit, "")},
				apiTempo:  {tempoSearch(w, "{"+ofService+"}", searchLimit)},
			},
		}, {
			Name: "errors of a service", About: "20 traces of a service with http.status_code 500", want: &failed,
			calls: map[api][]call{
				apiJaeger: {jaegerSearch(w, t.service, searchLimit, `{"http.status_code":"500"}`)},
				apiTempo:  {tempoSearch(w, "{"+ofService+" && span.http.status_code=500}", searchLimit)},
			},
		}, {
			Name: "attribute", About: "all traces of one user.id", want: &all,
			wants: map[api]answer{apiJaeger: valuesAnswer(perService)},
			calls: map[api][]call{
				apiJaeger: eachService,
				apiTempo:  {tempoSearch(w, `{span.user.id="`+t.user+`"}`, allLimit)},
			},
		}, {
			Name: "services", About: "names of all services", want: &services,
			calls: map[api][]call{
				apiJaeger: {{"/api/services", nil, readLokiValues}},
				apiTempo:  {{"/api/v2/search/tag/resource.service.name/values", w.seconds(), readTempoValues}},
			},
		},
	}
}

func jaegerSearch(w window, service string, limit int, tags string) call {
	params := url.Values{
		"service": {service}, "limit": {strconv.Itoa(limit)}, "lookback": {"custom"},
		"start": {strconv.FormatInt(w.start.UnixMicro(), 10)}, "end": {strconv.FormatInt(w.end.UnixMicro(), 10)},
	}
	if tags != "" {
		params.Set("tags", tags)
	}
	return call{"/api/traces", params, readJaegerSearch}
}

func tempoSearch(w window, query string, limit int) call {
	return call{"/api/search", with(w.seconds(), "q", query, "limit", strconv.Itoa(limit)), readTempoSearch}
}
