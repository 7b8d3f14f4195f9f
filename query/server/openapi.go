package server

import (
	"bytes"
	_ "embed"
)

// openAPI describes every route of the query service; a test of the composed service
// holds it against the routes that are really mounted.
//
//go:embed openapi.yaml
var openAPI []byte

// OpenAPI returns the description that /api/openapi.yaml gives out.
func OpenAPI() []byte { return bytes.Clone(openAPI) }
