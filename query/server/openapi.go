package server

import _ "embed"

// openAPI describes every route of the query service; a test holds it against the
// routes that are really mounted.
//
//go:embed openapi.yaml
var openAPI []byte
