// Package apiv3 is Jaeger's query API, version 3, as gRPC stubs. It may import what
// the generator makes it import; package traces implements it.
package apiv3

//go:generate go run ../generate jaeger/api_v3/query_service.proto
