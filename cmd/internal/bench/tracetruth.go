package bench

import (
	"context"
	"maps"
	"slices"
)

// searchedService is whose traces are searched for, if the data has it.
const searchedService = "ts-order-service"

// traceTruth is what the pushed spans are, and what the queries must answer.
type traceTruth struct {
	spans    int
	services map[string]int // spans of each
	service  string         // one of them

	trace      traceID // one of middling size
	traceSpans answer

	user          string          // the value of user.id that is searched for
	userTraces    map[string]bool // ids of the traces that have it
	userByService map[[2]string]bool

	serviceTraces, errorTraces map[traceID]bool // of service; the latter with a status of 500
}

func prepareSpans(ctx context.Context, d *spanData, path string) (*spool, *traceTruth, error) {
	w, err := createSpool(path)
	if err != nil {
		return nil, nil, err
	}
	t := d.pick()
	e := otlpEncoder{data: d, emit: w.add}
	err = d.each(ctx, func(s *span) error {
		t.add(d, s)
		return e.add(s)
	})
	if err == nil {
		err = e.flush()
	}
	out, closeErr := w.close()
	if err == nil {
		err = closeErr
	}
	return out, t, err
}

// pick chooses what is searched for from copy 0: a trace of 60 to 90 spans from the
// middle, or else the largest, and a user with few spans in as many traces.
func (d *spanData) pick() *traceTruth {
	t := &traceTruth{
		services: map[string]int{}, userTraces: map[string]bool{}, userByService: map[[2]string]bool{},
		serviceTraces: map[traceID]bool{}, errorTraces: map[traceID]bool{},
	}
	sizes := map[traceID]int{}
	perUser := map[string][]traceID{}
	perService := map[string]int{}
	for i := range d.spans {
		s := &d.spans[i]
		sizes[s.trace]++
		perUser[s.user()] = append(perUser[s.user()], s.trace)
		perService[d.service(s)]++
	}
	for i := range d.spans {
		id := d.spans[(i+len(d.spans)/2)%len(d.spans)].trace
		if n := sizes[id]; n >= 60 && n <= 90 {
			t.trace = id
			break
		}
		if sizes[id] > sizes[t.trace] {
			t.trace = id
		}
	}
	names := slices.Sorted(maps.Keys(perUser))
	t.user = names[len(names)/2]
	for _, user := range names[len(names)/2:] {
		if ids := perUser[user]; len(ids) == 3 && ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2] {
			t.user = user
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(perService)) {
		if perService[name] > perService[t.service] {
			t.service = name
		}
	}
	if perService[searchedService] > 0 {
		t.service = searchedService
	}
	return t
}

func (t *traceTruth) add(d *spanData, s *span) {
	t.spans++
	service := d.service(s)
	t.services[service]++
	if s.trace == t.trace {
		t.traceSpans.Rows++
		t.traceSpans.Digest += digestID(s.id.String())
	}
	if s.user() == t.user {
		t.userTraces[s.trace.String()] = true
		t.userByService[[2]string{service, s.trace.String()}] = true
	}
	if service == t.service {
		t.serviceTraces[s.trace] = true
		if s.status() == 500 {
			t.errorTraces[s.trace] = true
		}
	}
}
