package signal

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// Point is one series of an instant answer.
type Point struct {
	Labels map[string]string
	// Value may be NaN or infinite.
	Value float64
}

// Vector asks a PromQL query that gives any number of series. Histograms are left out: they have no value. The labels must not be
// changed: equal questions of a tick share them.
func (t *Tick) Vector(ctx context.Context, query string) ([]Point, error) {
	a, err := t.askPrometheus(ctx, query)
	if err != nil {
		return nil, err
	}
	if a.kind != "vector" && a.kind != "scalar" {
		return nil, fmt.Errorf("the query gives a %s, not a vector", a.kind)
	}
	points := make([]Point, 0, len(a.points))
	for _, p := range a.points {
		if !p.histogram {
			points = append(points, Point{Labels: p.labels, Value: p.value})
		}
	}
	return points, nil
}

// Refused reports whether an error is the service's word that the query itself cannot be answered: it is wrong, or reads more than the
// service allows. Asking again does not help.
func Refused(err error) bool {
	var refusal *refusedError
	return errors.As(err, &refusal)
}

// LogVector asks a LogQL metric query that gives any number of series, as Vector does for PromQL.
func (t *Tick) LogVector(ctx context.Context, query string) ([]Point, error) {
	a, err := t.askLoki(ctx, "query", url.Values{"query": {query}})
	if err != nil {
		return nil, err
	}
	if a.kind != "vector" && a.kind != "scalar" {
		return nil, fmt.Errorf("the query gives %s, not a vector; use a metric query such as rate or count_over_time", a.kind)
	}
	points := make([]Point, 0, len(a.points))
	for _, p := range a.points {
		points = append(points, Point{Labels: p.labels, Value: p.value})
	}
	return points, nil
}
