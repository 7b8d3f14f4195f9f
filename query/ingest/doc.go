// Package ingest is the one way in: OTLP over HTTP and gRPC, Prometheus remote
// write 1.0 and 2.0, and Loki push. It decodes, checks limits, maps names, and
// acknowledges only what the stores have made durable.
//
// It may import query/columnar, query/metrics (where it writes), query/traces
// (the span codec), the protocols' libraries and echo for its own routes. Only
// server and cmd import it.
//
// Where things are: mapping.go decides how attributes become labels and fields;
// admission.go is the path that every protocol takes into the stores; error.go
// holds what a refusal looks like in each protocol; otlp*.go, remotewrite.go and
// loki.go decode.
package ingest
