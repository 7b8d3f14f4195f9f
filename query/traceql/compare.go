package traceql

import (
	"cmp"
	"slices"
	"strings"
)

// maxCompared bounds the values that compare() tells apart of one attribute: those it
// meets first. An attribute of more is marked in the answer.
const maxCompared = 5000

// Enumerator is what compare() asks of a span's Values beside them.
type Enumerator interface {
	// All calls visit with the attributes of the span and its resource and the intrinsics
	// that have few values.
	All(visit func(name string, v Value))
}

// comparedGroup is the attributes of one group of spans by name.
type comparedGroup map[string]*comparedAttribute

type comparedAttribute struct {
	values  map[Value][]float64 // counts by step
	total   []float64
	tooMany bool
}

// compare counts the values of a span in its group.
func (a *Aggregator) compare(start int64, step int) error {
	c := a.m.Compare
	selected := c.To == 0 || start >= c.From && start < c.To
	if selected && c.Filter.Expr != nil {
		selected = a.scope.eval(c.Filter.Expr).True()
	}
	group := &a.groups[0]
	if selected {
		group = &a.groups[1]
	}
	if *group == nil {
		*group = comparedGroup{}
	}
	all, ok := a.scope.span.(Enumerator)
	if !ok {
		return nil
	}
	var err error
	all.All(func(name string, v Value) {
		if err == nil && !v.IsNil() && v.typ != Other {
			err = a.count(*group, name, v, step)
		}
	})
	return err
}

func (a *Aggregator) count(group comparedGroup, name string, v Value, step int) error {
	attribute := group[name]
	if attribute == nil {
		if err := a.charge(1, a.interval.Steps()); err != nil { // its total
			return err
		}
		attribute = &comparedAttribute{values: map[Value][]float64{}, total: make([]float64, a.interval.Steps())}
		group[strings.Clone(name)] = attribute
	}
	attribute.total[step]++
	counts := attribute.values[v]
	if counts == nil {
		if len(attribute.values) >= maxCompared {
			if attribute.tooMany {
				return nil
			}
			attribute.tooMany = true
			return a.charge(1, a.interval.Steps()) // the mark, also when TopN is as many
		}
		if err := a.chargeValue(len(attribute.values)); err != nil {
			return err
		}
		counts = make([]float64, a.interval.Steps())
		attribute.values[v.Clone()] = counts
	}
	counts[step]++
	return nil
}

// chargeValue pays for the counts of one more value of an attribute, and for the series
// that it adds to the answer: its own, or the first beyond the most frequent ones the mark
// that there are more.
func (a *Aggregator) chargeValue(known int) error {
	steps := a.interval.Steps()
	switch {
	case known < a.m.Compare.TopN:
		return a.charge(1, steps)
	case known == a.m.Compare.TopN:
		return a.charge(1, 2*steps)
	}
	return a.charge(0, steps)
}

// compared are, for each group and attribute, the most frequent values and the total, and
// a series that marks attributes with more values.
func (a *Aggregator) compared() []Series {
	var out []Series
	tooMany := map[string]bool{}
	add := func(kind, meta, name string, v Value, counts []float64) {
		out = append(out, Series{Labels: []SpansetAttribute{{kind, StringValue(meta)}, {name, v}}, Values: counts})
	}
	for i, meta := range [...]string{"baseline", "selection"} {
		for name, attribute := range a.groups[i] {
			values := make([]Value, 0, len(attribute.values))
			for v := range attribute.values {
				values = append(values, v)
			}
			slices.SortFunc(values, func(x, y Value) int {
				return cmp.Or(cmp.Compare(sum(attribute.values[y]), sum(attribute.values[x])), cmp.Compare(x.String(), y.String()), cmp.Compare(x.typ, y.typ))
			})
			for _, v := range values[:min(len(values), a.m.Compare.TopN)] {
				add("__meta_type", meta, name, v, attribute.values[v])
			}
			if attribute.tooMany || len(values) > a.m.Compare.TopN {
				tooMany[name] = true
			}
			add("__meta_type", meta+"_total", name, Value{}, attribute.total)
		}
	}
	for name := range tooMany {
		add("__meta_error", "__too_many_values__", name, Value{}, make([]float64, a.interval.Steps()))
	}
	return out
}

func sum(values []float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}
