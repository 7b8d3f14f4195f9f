package traceql

// MetricsFunc is a function from the spans of a time range to series.
type MetricsFunc uint8

// The functions. Those from MinOverTime to HistogramOverTime take an attribute; of
// durations they yield seconds. Compare counts the values of all attributes, of the spans
// that a filter selects and of the others.
const (
	Rate MetricsFunc = iota + 1
	CountOverTime
	MinOverTime
	MaxOverTime
	AvgOverTime
	SumOverTime
	QuantileOverTime
	HistogramOverTime
	Compare
)

var metricsNames = [...]string{
	Rate: "rate", CountOverTime: "count_over_time", MinOverTime: "min_over_time", MaxOverTime: "max_over_time",
	AvgOverTime: "avg_over_time", SumOverTime: "sum_over_time",
	QuantileOverTime: "quantile_over_time", HistogramOverTime: "histogram_over_time", Compare: "compare",
}

var metricsFuncs = map[string]MetricsFunc{
	"rate": Rate, "count_over_time": CountOverTime, "min_over_time": MinOverTime, "max_over_time": MaxOverTime,
	"avg_over_time": AvgOverTime, "sum_over_time": SumOverTime,
	"quantile_over_time": QuantileOverTime, "histogram_over_time": HistogramOverTime, "compare": Compare,
}

// String is the function's name in queries.
func (f MetricsFunc) String() string { return metricsNames[f] }

// Metrics is the last stage of a metrics query.
type Metrics struct {
	Func      MetricsFunc
	Attribute *Field    // nil for Rate, CountOverTime and Compare
	Quantiles []float64 // of QuantileOverTime, from 0 to 1
	By        []Field
	Compare   *Comparison // of Compare
	Then      []SecondStage
}

// Comparison is the arguments of compare().
type Comparison struct {
	// Filter selects the spans that are compared with the others.
	Filter *Filter
	// TopN is how many values of each attribute are returned, the most frequent ones.
	TopN int
	// From and To restrict the selection to spans that start within, Unix nanoseconds;
	// From is inclusive, To exclusive. Both are zero for no restriction.
	From, To int64
}

// SecondStageKind says what is done to series.
type SecondStageKind uint8

// The kinds: TopK and BottomK keep the N greatest or least series of each interval,
// Keep the samples for which a comparison holds.
const (
	TopK SecondStageKind = iota + 1
	BottomK
	Keep
)

// SecondStage is one step on the series of a metrics query.
type SecondStage struct {
	Kind  SecondStageKind
	N     int
	Op    Op
	Value Value
}
