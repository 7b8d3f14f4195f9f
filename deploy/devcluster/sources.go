package main

import "embed"

// sources is what "devcluster build" compiles: this module's pinned versions
// and its packages kubernetes and pause, which import nothing else of it.
//
//go:embed go.mod go.sum kubernetes/*.go pause/*.go
var sources embed.FS
