// Package columnar is the block store for logs and spans: a write-ahead log in
// front of compressed, time-bounded blocks.
//
// It knows streams, rows and fields, and nothing of OTLP, LogQL or HTTP. It may
// import only libraries. ingest writes to it; logs, traces and server read from
// it. contract.go is what any engine promises; columnartest holds the suite that
// every engine must pass.
//
// A batch goes through walrecord.go (one record, written before it is
// acknowledged) into a memtable.go; flush.go writes full memory tables as parts
// (part.go) of blocks (block.go) of columns (column.go, timecolumn.go), and
// merge.go keeps parts few. manifest.go says at each instant which parts and
// which records count. Each of these files documents its format. cursor.go
// merges memory tables and blocks into the answer of a query.
package columnar
