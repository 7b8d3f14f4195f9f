package bench

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Kind says which protocols a target speaks.
type Kind string

// The kinds of targets.
const (
	Loki           Kind = "loki"           // Loki's push and query API
	VictoriaLogs   Kind = "victorialogs"   // Loki's push API, LogsQL for queries
	Jaeger         Kind = "jaeger"         // OTLP in, Jaeger's query API
	Tempo          Kind = "tempo"          // OTLP in, Tempo's query API
	VictoriaTraces Kind = "victoriatraces" // OTLP in, Jaeger's query API, at paths of its own
	Prometheus     Kind = "prometheus"     // remote write in, Prometheus' query API
	Yagura         Kind = "yagura"         // all of them, at Yagura's paths
)

// Kinds lists them all.
var Kinds = []Kind{Loki, VictoriaLogs, Jaeger, Tempo, VictoriaTraces, Prometheus, Yagura}

// Target is one store to measure.
type Target struct {
	Name string
	Kind Kind
	// URL is the base of its query API, and where data is pushed unless Push says
	// otherwise.
	URL  string
	Push string
	// PID is its process, whose CPU time and memory are read; 0 if unknown.
	PID int
	// Dir is its data folder, whose size is measured; "" if unknown.
	Dir string
	// Flush is a path below URL that is posted to after the last push, for a store
	// that would keep data in memory for long; "" for none.
	Flush string
	// Start is a shell command that starts it again in the background and prints the
	// new process id; "" if it cannot be restarted.
	Start string
}

// ParseTarget reads kind=URL followed by options, as
// loki=http://127.0.0.1:3100,name=theirs,pid=123,dir=/var/lib/loki.
func ParseTarget(s string) (Target, error) {
	parts := strings.Split(s, ",")
	kind, base, ok := strings.Cut(parts[0], "=")
	if !ok || !slices.Contains(Kinds, Kind(kind)) {
		return Target{}, fmt.Errorf("target %q: want kind=URL with one of the kinds %s", s, joinKinds())
	}
	t := Target{Name: kind, Kind: Kind(kind), URL: strings.TrimRight(base, "/")}
	if err := checkURL(t.URL); err != nil {
		return Target{}, fmt.Errorf("target %q: %w", s, err)
	}
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		if value == "" {
			return Target{}, fmt.Errorf("target %q: option %q has no value", s, part)
		}
		if err := t.set(key, value); err != nil {
			return Target{}, fmt.Errorf("target %q: %w", s, err)
		}
	}
	if t.Push == "" {
		t.Push = t.URL
	}
	return t, nil
}

func (t *Target) set(key, value string) error {
	switch key {
	case "name":
		t.Name = value
	case "dir":
		t.Dir = value
	case "flush":
		t.Flush = value
	case "push":
		t.Push = strings.TrimRight(value, "/")
		return checkURL(t.Push)
	case "pid":
		pid, err := strconv.Atoi(value)
		if err != nil || pid < 1 {
			return fmt.Errorf("pid %q is no process id", value)
		}
		t.PID = pid
	default:
		return fmt.Errorf("unknown option %q: want name, pid, dir, push or flush", key)
	}
	return nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is no http or https URL", s)
	}
	return nil
}

func joinKinds() string {
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// Signal is a kind of telemetry.
type Signal string

// The signals.
const (
	Logs    Signal = "logs"
	Traces  Signal = "traces"
	Metrics Signal = "metrics"
)

// Signals lists them in the order in which they are measured.
var Signals = []Signal{Logs, Traces, Metrics}

// Takes reports whether a target of this kind takes a signal.
func (k Kind) Takes(s Signal) bool {
	switch k {
	case Yagura:
		return true
	case Loki, VictoriaLogs:
		return s == Logs
	case Jaeger, Tempo, VictoriaTraces:
		return s == Traces
	case Prometheus:
		return s == Metrics
	default:
		return false
	}
}
