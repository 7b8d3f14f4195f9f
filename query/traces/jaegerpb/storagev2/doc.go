// Package storagev2 is Jaeger's remote storage API, version 2, as gRPC stubs. It may
// import what the generator makes it import; package traces implements it.
package storagev2

//go:generate go run ../generate jaeger/storage/v2/storage.proto
