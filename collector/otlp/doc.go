// Package otlp receives logs, traces and metrics from applications over OTLP,
// by gRPC and by HTTP (protobuf and JSON), and hands each request to the disk
// queue as one record.
//
// A sender gets its answer only when the queue has the request. A full queue is
// answered so that SDKs try again; what is malformed is refused for good, with a
// message that says where.
//
// Requests are checked against OTLP's message types on the wire, without being
// decoded: what the query service would refuse later, the sender hears now, and
// resource attributes are added by copying everything around them.
//
// It imports collector/kube for the pods of senders, collector/queue and
// collector/sample for the way out, pdata for JSON, and grpc. The commands import
// it.
package otlp
