package shop

import (
	"net/http"
	"time"
)

// Service is one of the shop's services: what a replica of it can do.
type Service struct {
	Name string
	// Workers is how many requests a replica serves at once; Waiting is how many
	// more it lets wait before it refuses with 503.
	Workers, Waiting int
	Endpoints        []Endpoint
	// ReportCPU: the replicas' busy share is written to their pods for kwok's
	// simulated kubelet, at CPUPerWorker cores for each busy worker.
	ReportCPU    bool
	CPUPerWorker float64
}

// Endpoint is one route of a service.
type Endpoint struct {
	Method, Path string
	// Work holds a worker for this long, give or take a fifth.
	Work time.Duration
	// Calls are made one after the other once the work is done.
	Calls []Call
	// FailEvery answers 502 to one request in so many; 0 never fails.
	FailEvery int
}

// Call is a request to another service.
type Call struct {
	Service, Method, Path string
	// OneIn makes the call for one request in so many; 0 and 1 always.
	OneIn int
}

// Catalogue is the shop. Its Deployments and autoscalers are in ../manifests; the
// workers below times their targets there are what a replica can bear.
func Catalogue() []Service {
	return []Service{
		{
			Name: "frontend", Workers: 1, Waiting: 32, ReportCPU: true, CPUPerWorker: 0.25,
			Endpoints: []Endpoint{
				{Method: http.MethodGet, Path: "/", Work: 20 * time.Millisecond, Calls: []Call{
					{Service: "catalog", Method: http.MethodGet, Path: "/products"},
				}},
				{Method: http.MethodPost, Path: "/buy", Work: 20 * time.Millisecond, Calls: []Call{
					{Service: "catalog", Method: http.MethodGet, Path: "/products"},
					{Service: "checkout", Method: http.MethodPost, Path: "/orders"},
				}},
			},
		},
		{
			Name: "catalog", Workers: 4, Waiting: 32,
			Endpoints: []Endpoint{
				{Method: http.MethodGet, Path: "/products", Work: 80 * time.Millisecond},
			},
		},
		{
			Name: "checkout", Workers: 4, Waiting: 32,
			Endpoints: []Endpoint{
				{Method: http.MethodPost, Path: "/orders", Work: 150 * time.Millisecond, Calls: []Call{
					{Service: "payment", Method: http.MethodPost, Path: "/charge"},
					{Service: "payment", Method: http.MethodPost, Path: "/receipt", OneIn: 20},
				}},
			},
		},
		{
			Name: "payment", Workers: 32, Waiting: 64,
			Endpoints: []Endpoint{
				// The failing and the slow endpoint that a newcomer finds in the traces.
				{Method: http.MethodPost, Path: "/charge", Work: 30 * time.Millisecond, FailEvery: 40},
				{Method: http.MethodPost, Path: "/receipt", Work: 900 * time.Millisecond},
			},
		},
	}
}
