// Package traces keeps spans on the columnar store and answers for them: the
// codec between OTLP spans and rows, search, the assembly of traces, and Jaeger's
// HTTP API.
//
// It may import query/columnar and libraries; package ingest calls its codec and
// the composition in cmd mounts its API. It never writes to the store.
package traces
