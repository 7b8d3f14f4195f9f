package bench

import (
	"fmt"
	"time"
)

// Report is what a run found out. Durations are in the unit of their names, so that
// its JSON needs no explanation.
type Report struct {
	Time     time.Time `json:"time"`
	Machine  Machine   `json:"machine"`
	Baseline string    `json:"baseline"` // the target that ratios are against
	Results  []Result  `json:"results"`
}

// Machine is where the targets' figures were taken.
type Machine struct {
	OS   string  `json:"os"`
	CPUs int     `json:"cpus"`
	Load float64 `json:"load_average"` // of a minute, before the run; 0 if unknown
}

// Result is what a run found out about one signal.
type Result struct {
	Signal  Signal         `json:"signal"`
	Data    Data           `json:"data"`
	Targets []TargetResult `json:"targets"`
}

// Data is what was pushed.
type Data struct {
	// Items are lines, spans or samples.
	Items   int64     `json:"items"`
	Unit    string    `json:"unit"`
	Streams int       `json:"streams"` // streams, services or series
	Bytes   int64     `json:"bytes"`   // of lines, or of requests before packing
	Sent    int64     `json:"sent_bytes"`
	End     time.Time `json:"end"` // what queries end at
}

// TargetResult is what one target did with one signal.
type TargetResult struct {
	Name    string        `json:"name"`
	Kind    Kind          `json:"kind"`
	Ingest  *Ingest       `json:"ingest,omitempty"`
	Check   *Check        `json:"check,omitempty"`
	ReadyMS float64       `json:"ready_after_start_ms,omitempty"`
	Queries []QueryResult `json:"queries,omitempty"`
	// PeakBytes is the largest memory it ever had, queries included; 0 if unknown.
	PeakBytes int64 `json:"peak_bytes,omitempty"`
	// DiskBytes is the size of its folder at the very end: some stores keep their
	// write-ahead log for minutes.
	DiskBytes int64 `json:"disk_bytes_at_end,omitempty"`
	// Error is why the target has no more figures; "" if it has all.
	Error string `json:"error,omitempty"`
}

// Ingest is what taking the data cost. What needs the process or its folder is 0 if
// that is unknown.
type Ingest struct {
	PushSeconds    float64 `json:"push_seconds"`
	SettledSeconds float64 `json:"settled_seconds"`        // from the first push until the target was quiet
	PushCPU        float64 `json:"push_cpu_seconds"`       // until the last push was acknowledged
	SettledCPU     float64 `json:"settled_cpu_seconds"`    // until it was quiet: flushes and merges included
	MedianMS       float64 `json:"request_median_ms"`      // of one request
	P99MS          float64 `json:"request_p99_ms"`         //
	Retries        int     `json:"retries"`                // requests that the target refused for the moment
	PeakBytes      int64   `json:"peak_bytes,omitempty"`   // of memory, since the process started
	DiskBytes      int64   `json:"disk_bytes,omitempty"`   // some time after the last push
	DiskAfterS     float64 `json:"disk_after_s,omitempty"` // that time
}

// Check is whether all that was sent is there, once.
type Check struct {
	Complete bool  `json:"complete"`
	Expected int64 `json:"expected"`
	Found    int64 `json:"found"`
	// Wrong is how many streams or items were found to be wrong; Problems names the
	// first of them.
	Wrong    int      `json:"wrong"`
	Problems []string `json:"problems,omitempty"`
	// Sampled says what was looked at if it was not all; "" if it was.
	Sampled string `json:"sampled,omitempty"`
}

func (c *Check) problem(format string, args ...any) {
	if len(c.Problems) <= maxNamed {
		c.Problems = append(c.Problems, fmt.Sprintf(format, args...))
	}
}

// QueryResult is what one query cost a target.
type QueryResult struct {
	Name   string  `json:"name"`
	About  string  `json:"about"`
	API    string  `json:"api"`
	ColdMS float64 `json:"cold_ms"`
	HotMS  float64 `json:"hot_ms"`           // median
	CPUMS  float64 `json:"cpu_ms,omitempty"` // of the target for one hot query, on average; 0 if unknown
	Rows   int     `json:"rows"`
	// Wrong says how the answer differs from the right one; "" if it does not.
	Wrong string `json:"wrong,omitempty"`
	Error string `json:"error,omitempty"`
}
