// Package columnar is the block store for logs and spans: a write-ahead log in
// front of compressed, time-bounded blocks.
//
// It knows streams, rows and fields, and nothing of OTLP, LogQL or HTTP. It may
// import only libraries. ingest writes to it; logs, traces and server read from
// it. contract.go is what any engine promises; columnartest holds the suite that
// every engine must pass.
package columnar
