// Package metrics holds the samples: a Prometheus TSDB, the PromQL engine on top
// of it, and the Prometheus HTTP API.
//
// It knows series, samples and batches, and nothing of OTLP or remote write. It
// may import the batch id of query/columnar, the Prometheus libraries and echo
// (for its own routes). ingest writes to it; server mounts its routes.
//
// Beside the data the store keeps one internal series per sender and stream,
// [MarkerName], whose value is the highest batch sequence that is stored. It is
// an ordinary series and shows up in queries; see batch.go for why it is there.
package metrics
