// Package ui holds the built web interface as an embedded file system. The sources beside this file are TypeScript and
// are built by `npm run build` into dist; the Go side only carries the result. It imports nothing of this module and is
// imported by query/server, which serves it.
package ui

import (
	"embed"
	"io/fs"
)

// dist is empty apart from .keep until the interface is built, so that the module compiles without Node.
//
//go:embed all:dist
var dist embed.FS

// Files returns the built interface, with index.html at its root when it has been built. Paths that name no file belong
// to the client-side router and are answered with index.html by the server.
func Files() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		// fs.Sub fails only for an invalid path, and this one is a constant.
		return dist
	}
	return sub
}
