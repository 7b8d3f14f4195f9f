package bench

import (
	"net/url"
	"strconv"
)

const (
	// rateStep is the step, in seconds, of the query over time.
	rateStep = 10

	accessPattern = `<ip> - <user> [<ts>] "<method> <path> <proto>" <status> <size> `
	accessRegexp  = `^\S+ - \S+ \[[^\]]+\] "(?P<method>\S+) (?P<path>\S+) [^"]*" (?P<status>\d{3}) (?P<size>\d+) `
)

// logQuestions are the fixed queries about logs, in LogQL and in LogsQL.
func logQuestions(t *logTruth, w window) []question {
	n := t.needles
	all := `{app=~".+"}`
	parsed := `{app="nginx"} | pattern ` + "`" + accessPattern + "<_>`"
	extracted := `{app="nginx"} | extract ` + strconv.Quote(accessPattern)
	words := linesQuestion(t.traceLines.answer(), w, all+` |= "`+n.trace+`"`, `_msg:"`+n.trace+`"`)
	questions := []question{
		groupsQuestion(t.byApp, w, "app", `sum by (app) (count_over_time(`+all+`[10h]))`, `* | stats by (app) count() hits`).
			named("count by app", "count of all lines by app"),
		linesQuestion(t.traceLines.answer(), w, all+` |= "`+n.trace+`"`, `_msg:~"`+n.trace+`"`).
			named("id in line", "a trace id as line filter"),
		words.named("id as word", "the same, as a word filter where the store has one"),
		linesQuestion(t.traceField.answer(), w, all+` | trace_id="`+n.trace+`"`, `trace_id:="`+n.trace+`"`).
			named("id in field", "a trace id in structured metadata"),
	}
	if n.substring != "" {
		questions = append(questions, linesQuestion(t.substring.answer(), w, all+` |= "`+n.substring+`"`, `_msg:~"`+n.substring+`"`).
			named("substring", "a rare substring that begins and ends inside a word"))
	}
	return append(questions,
		linesQuestion(t.failed.answer(), w, all+` |~ "`+failedTrip+`"`, `_msg:~"`+failedTrip+`"`).
			named("regex", "lines that match a regular expression"),
		groupsQuestion(map[string]float64{"": t.failedTotal}, w, "", `sum(count_over_time(`+all+` |~ "`+failedTrip+`"[10h]))`, `_msg:~"`+failedTrip+`" | stats count() hits`).
			named("regex count", "how many lines match it"),
		rateQuestion(t.errorsByApp, w, `sum by (app) (rate(`+all+` |= "ERROR" or " 500 " [10s]))`, `(_msg:~"ERROR" or _msg:~" 500 ") | stats by (app) rate() r`).
			named("error rate", "rate of ERROR or \" 500 \" by app, in steps of 10 s"),
		groupsQuestion(t.byStatus, w, "status", `sum by (status) (count_over_time(`+parsed+` [10h]))`, extracted+` | stats by (status) count() hits`).
			named("pattern", "access log by pattern, count by status"),
		groupsQuestion(t.byStatus, w, "status", `sum by (status) (count_over_time({app="nginx"} | regexp `+"`"+accessRegexp+"`"+` [10h]))`,
			`{app="nginx"} | extract_regexp `+"`"+accessRegexp+"`"+` | stats by (status) count() hits`).
			named("regexp", "access log by regexp parser, count by status"),
		groupsQuestion(t.sizeByStatus, w, "status", `sum by (status) (sum_over_time(`+parsed+` | unwrap size [10h]))`, extracted+` | stats by (status) sum(size) bytes`).
			named("pattern sum", "access log by pattern, sum of sizes by status"),
		linesQuestion(t.ofPod.answer(), w, `{pod="`+n.pod+`"}`, `{pod="`+n.pod+`"}`).
			named("last of pod", "last 1,000 lines of a pod"),
		question{want: &t.pods, calls: map[api][]call{
			apiLoki:   {{"/loki/api/v1/label/pod/values", w.nanos(), readLokiValues}},
			apiLogsQL: {{"/select/logsql/stream_field_values", with(w.seconds(), "query", "*", "field", "pod"), readLogsQLValues}},
		}}.named("label values", "values of the label pod"),
	)
}

func (q question) named(name, about string) question {
	q.Name, q.About = name, about
	return q
}

func linesQuestion(want answer, w window, logql, logsql string) question {
	limit := strconv.Itoa(lineLimit)
	return question{want: &want, calls: map[api][]call{
		apiLoki:   {{"/loki/api/v1/query_range", with(w.nanos(), "query", logql, "limit", limit, "direction", "backward"), readLokiLines}},
		apiLogsQL: {{"/select/logsql/query", with(w.seconds(), "query", logsql, "limit", limit), readLogsQLLines}},
	}}
}

func groupsQuestion(want map[string]float64, w window, label, logql, logsql string) question {
	read := readSamples(label, 1)
	return question{want: &answer{Groups: want}, calls: map[api][]call{
		apiLoki:   {{"/loki/api/v1/query", url.Values{"query": {logql}, "time": {w.nanos().Get("end")}}, read}},
		apiLogsQL: {{"/select/logsql/stats_query", with(w.seconds(), "query", logsql, "time", w.seconds().Get("end")), read}},
	}}
}

// rateQuestion asks over time. Its steps lie side by side, so that the sum of all
// samples, times the step, is the number of lines whichever end of a step a store
// counts to it.
func rateQuestion(want map[string]float64, w window, logql, logsql string) question {
	read := readSamples("app", rateStep)
	step := strconv.Itoa(rateStep)
	return question{want: &answer{Groups: want}, calls: map[api][]call{
		apiLoki:   {{"/loki/api/v1/query_range", with(w.nanos(), "query", logql, "step", step), read}},
		apiLogsQL: {{"/select/logsql/stats_query_range", with(w.seconds(), "query", logsql, "step", step+"s"), read}},
	}}
}
