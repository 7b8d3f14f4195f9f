// Package externalgrpc is the wire of cluster-autoscaler's provider protocol, service
// clusterautoscaler.cloudprovider.v1.externalgrpc.CloudProvider, as gRPC stubs. It may import what the generator makes it import;
// package external speaks it as a client, and servers implement it.
package externalgrpc

//go:generate go run ../../../../query/traces/jaegerpb/generate externalgrpc/externalgrpc.proto
