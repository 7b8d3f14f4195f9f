// Package queue is the disk queue between reading signals and shipping them.
//
// Sources append records, each of them one complete request body; ship takes the
// oldest record of a stream, sends it, and acknowledges it. A record that Append
// has accepted survives a kill of the process at any moment, is delivered in
// order, and keeps its sequence number for ever, so that a repeat can be
// recognised by whoever receives it.
//
// A source can hand in its read positions together with a record. Both are one
// frame of one file: after a crash either the record and the positions are there,
// or neither is. This is what lets a log tailer go on without losing or repeating
// a line.
//
// The package imports no other room of the project. The sources (host, scrape,
// podlogs, otlp), ship, and the commands import it.
package queue
