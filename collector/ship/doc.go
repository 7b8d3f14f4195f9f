// Package ship sends what is in the disk queue to the query service, or to any
// other receiver of OTLP over HTTP and Prometheus remote write 2.0.
//
// Each stream has one request in flight, in order, with the record's bytes as they
// lie in the queue and its id in the header Yagura-Batch, so that a repeat of a
// request whose answer was lost can be recognised. A record leaves the queue when
// it was accepted, or was refused for good (see judge).
//
// It imports collector/queue and no other room of the project; the commands
// import it.
package ship
