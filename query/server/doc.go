// Package server is the query service's HTTP face: one echo server that mounts the
// rooms' routes, and adds health, its own metrics, the OpenAPI document and the
// web interface.
//
// It imports ui, which it serves, and no other room: the rooms come in as values
// that register their own routes. cmd composes it.
package server
