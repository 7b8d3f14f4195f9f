package traceql

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// Series ends the aggregation. It returns the series in the order of their labels, without those that have
// no sample. Its error is that of ctx.
func (a *Aggregator) Series(ctx context.Context) ([]Series, error) {
	var out []Series
	if a.m.Func == Compare {
		out = a.compared()
	}
	for _, acc := range a.order {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out = append(out, a.finish(acc)...)
	}
	for _, stage := range a.m.Then {
		if err := stage.apply(ctx, out, a.interval.Steps()); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out, compareSeries)
	return slices.DeleteFunc(out, func(s Series) bool {
		return !slices.ContainsFunc(s.Values, func(v float64) bool { return !math.IsNaN(v) })
	}), ctx.Err()
}

func compareSeries(a, b Series) int {
	return slices.CompareFunc(a.Labels, b.Labels, func(x, y SpansetAttribute) int {
		if c := cmp.Compare(x.Name, y.Name); c != 0 {
			return c
		}
		if x.Value.typ.numeric() && y.Value.typ.numeric() {
			if c := compareNumbers(x.Value, y.Value); c == -1 || c == 1 {
				return c
			}
		}
		return cmp.Or(cmp.Compare(x.Value.String(), y.Value.String()), cmp.Compare(x.Value.typ, y.Value.typ))
	})
}

func (a *Aggregator) labels(acc *accumulator) []SpansetAttribute {
	var out []SpansetAttribute
	for i, f := range a.m.By {
		out = append(out, SpansetAttribute{f.String(), acc.by[i]})
	}
	return out
}

func (a *Aggregator) finish(acc *accumulator) []Series {
	base := a.labels(acc)
	switch a.m.Func {
	case QuantileOverTime:
		return a.quantiles(acc, base)
	case HistogramOverTime:
		return a.histogram(acc, base)
	case Rate:
		for i := range acc.values {
			acc.values[i] /= a.interval.seconds()
		}
	case AvgOverTime:
		for i, n := range acc.counts {
			acc.values[i] /= n
		}
	}
	if len(base) == 0 {
		base = []SpansetAttribute{{"__name__", StringValue(a.m.Func.String())}}
	}
	return []Series{{Labels: base, Values: acc.values, Exemplars: acc.exemplars}}
}

// sortedBuckets are those of each step, by value.
func (acc *accumulator) sortedBuckets() []bucketKey {
	keys := make([]bucketKey, 0, len(acc.buckets))
	for k := range acc.buckets {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b bucketKey) int {
		return cmp.Or(cmp.Compare(a.step, b.step), cmp.Compare(a.bucket, b.bucket))
	})
	return keys
}

// quantiles yields one series each; values lie evenly within their bucket.
func (a *Aggregator) quantiles(acc *accumulator, base []SpansetAttribute) []Series {
	steps := a.interval.Steps()
	keys := acc.sortedBuckets()
	var out []Series
	for _, q := range a.m.Quantiles {
		values := make([]float64, steps)
		fill(values, math.NaN())
		for from := 0; from < len(keys); {
			to := from
			total := 0
			for to < len(keys) && keys[to].step == keys[from].step {
				total += acc.buckets[keys[to]]
				to++
			}
			values[keys[from].step] = quantile(q, keys[from:to], acc.buckets, total)
			from = to
		}
		labels := append(slices.Clone(base), SpansetAttribute{"p", FloatValue(q)})
		s := Series{Labels: labels, Values: values}
		if len(out) == 0 {
			s.Exemplars = acc.exemplars
		}
		out = append(out, s)
	}
	return out
}

func quantile(q float64, keys []bucketKey, counts map[bucketKey]int, total int) float64 {
	rank := q * float64(total)
	seen := 0.0
	for i, k := range keys {
		n := float64(counts[k])
		if seen+n >= rank || i == len(keys)-1 {
			low, high := bucketBounds(k.bucket)
			if low == high {
				return low
			}
			return low + (high-low)*math.Max(0, math.Min(1, (rank-seen)/n))
		}
		seen += n
	}
	return math.NaN()
}

// histogram yields a series for each power of two, of the values up to it and above
// the one before.
func (a *Aggregator) histogram(acc *accumulator, base []SpansetAttribute) []Series {
	byBound := map[float64][]float64{}
	for k, n := range acc.buckets {
		bound := powerOfTwo(k.bucket)
		if byBound[bound] == nil {
			byBound[bound] = make([]float64, a.interval.Steps())
		}
		byBound[bound][k.step] += float64(n)
	}
	var out []Series
	for bound, values := range byBound {
		labels := append(slices.Clone(base), SpansetAttribute{"__bucket", FloatValue(bound)})
		out = append(out, Series{Labels: labels, Values: values})
	}
	slices.SortFunc(out, compareSeries)
	if len(out) > 0 {
		out[0].Exemplars = acc.exemplars
	}
	return out
}

// apply does one stage on all series, in place.
func (s SecondStage) apply(ctx context.Context, series []Series, steps int) error {
	if s.Kind == Keep {
		want := s.Value
		if n, ok := want.Number(); ok && want.typ == Duration {
			want = FloatValue(n / 1e9)
		}
		for _, one := range series {
			if err := ctx.Err(); err != nil {
				return err
			}
			for i, v := range one.Values {
				if !compare(s.Op, FloatValue(v), want) || math.IsNaN(v) {
					one.Values[i] = math.NaN()
				}
			}
		}
		return nil
	}
	slices.SortStableFunc(series, compareSeries) // decides between equal values
	order := make([]int, 0, len(series))
	for step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		order = order[:0]
		for i := range series {
			if !math.IsNaN(series[i].Values[step]) {
				order = append(order, i)
			}
		}
		if len(order) <= s.N {
			continue
		}
		slices.SortStableFunc(order, func(a, b int) int {
			c := cmp.Compare(series[a].Values[step], series[b].Values[step])
			if s.Kind == TopK {
				return -c
			}
			return c
		})
		for _, i := range order[s.N:] {
			series[i].Values[step] = math.NaN()
		}
	}
	return nil
}
