// Package columnar is the block store for logs and spans: a write-ahead log in
// front of compressed, time-bounded blocks.
//
// It knows streams, rows and fields, and nothing of OTLP, LogQL or HTTP. It may
// import only libraries and package shred. ingest writes to it; logs, traces and server read from
// it. contract.go is what any engine promises; columnartest holds the suite that
// every engine must pass.
//
// A batch goes through walrecord.go (one record, written before it is
// acknowledged) into a memtable.go; flush.go writes full memory tables as parts
// (part.go) of blocks (block.go) of columns (column.go, timecolumn.go), and
// merge.go keeps parts few. manifest.go says at each instant which parts and
// which records count. Each of these files documents its format. cursor.go
// merges memory tables and blocks into the answer of a query.
//
// Package shred splits the texts of a block into templates and typed values.
// blockreader.go reads a block piece by piece, as far as it is asked for;
// blockfilter.go decides predicates on what is encoded, with the literals that
// literals.go finds in a regular expression; adopt.go spares a merge the blocks that
// are as they should be.
//
// Rows go in two steps: they are hidden (hidden.go) by retention (retention.go plans,
// retain.go does) or by a deletion (delete.go), and leave the disk with their whole
// part or when it is written anew (purge.go). snapshot.go copies a running store.
package columnar
