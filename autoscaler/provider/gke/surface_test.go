package gke

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// surface is Google's published description of an API, as its Go client library ships it.
type surface struct {
	ServicePath string                 `json:"servicePath"`
	Schemas     map[string]schema      `json:"schemas"`
	Resources   map[string]apiResource `json:"resources"`
	methods     []method
}

type apiResource struct {
	Methods   map[string]method      `json:"methods"`
	Resources map[string]apiResource `json:"resources"`
}

type method struct {
	ID         string            `json:"id"`
	HTTPMethod string            `json:"httpMethod"`
	Path       string            `json:"path"`
	FlatPath   string            `json:"flatPath"`
	Request    schema            `json:"request"`
	Response   schema            `json:"response"`
	Parameters map[string]schema `json:"parameters"`
	pattern    *regexp.Regexp
}

type schema struct {
	Ref                  string            `json:"$ref"`
	Type                 string            `json:"type"`
	Enum                 []string          `json:"enum"`
	Properties           map[string]schema `json:"properties"`
	Items                *schema           `json:"items"`
	AdditionalProperties *schema           `json:"additionalProperties"`
}

// surfaces are read once: one of them has six megabytes.
var surfaces sync.Map

// readSurface finds the description in the module.
func readSurface(t *testing.T, path string) *surface {
	if s, ok := surfaces.Load(path); ok {
		return s.(*surface)
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(path)))
	require.NoError(t, err)
	s := &surface{}
	require.NoError(t, json.Unmarshal(text, s))
	s.collect(s.Resources)
	surfaces.Store(path, s)
	return s
}

var parameter = regexp.MustCompile(`\\\{[^}]*\\\}`)

func (s *surface) collect(resources map[string]apiResource) {
	for _, r := range resources {
		for _, m := range r.Methods {
			path := m.FlatPath
			if path == "" {
				path = m.Path
			}
			m.pattern = regexp.MustCompile("^/" + regexp.QuoteMeta(s.ServicePath) + parameter.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
			s.methods = append(s.methods, m)
		}
		s.collect(r.Resources)
	}
}

// find returns the method that a request calls. Its query must be known, too.
func (s *surface) find(r *http.Request) (method, error) {
	for _, m := range s.methods {
		if m.HTTPMethod != r.Method || !m.pattern.MatchString(r.URL.Path) {
			continue
		}
		for name := range r.URL.Query() {
			if _, ok := m.Parameters[name]; !ok && !slices.Contains([]string{"alt", "prettyPrint"}, name) {
				return m, fmt.Errorf("%s has no parameter %s", m.ID, name)
			}
		}
		return m, nil
	}
	return method{}, fmt.Errorf("there is no method %s %s", r.Method, r.URL.Path)
}

// check holds a value against a schema: every field must be described, and be of its type.
func (s *surface) check(at string, want schema, value any) error {
	if want.Ref != "" {
		return s.check(at, s.Schemas[want.Ref], value)
	}
	switch v := value.(type) {
	case map[string]any:
		if want.Type != "object" {
			return fmt.Errorf("%s is an object, not %s", at, want.Type)
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			field, ok := want.Properties[key]
			if !ok && want.AdditionalProperties != nil {
				field, ok = *want.AdditionalProperties, true
			}
			if !ok {
				return fmt.Errorf("%s has no field %s", at, key)
			}
			if err := s.check(at+"."+key, field, v[key]); err != nil {
				return err
			}
		}
	case []any:
		if want.Type != "array" {
			return fmt.Errorf("%s is a list, not %s", at, want.Type)
		}
		for i, item := range v {
			if err := s.check(fmt.Sprintf("%s[%d]", at, i), *want.Items, item); err != nil {
				return err
			}
		}
	case string:
		if want.Type != "string" || len(want.Enum) > 0 && !slices.Contains(want.Enum, v) {
			return fmt.Errorf("%s: %q is no %s of %v", at, v, want.Type, want.Enum)
		}
	case float64:
		if want.Type != "integer" && want.Type != "number" {
			return fmt.Errorf("%s is a number, not %s", at, want.Type)
		}
	case bool:
		if want.Type != "boolean" {
			return fmt.Errorf("%s is a boolean, not %s", at, want.Type)
		}
	}
	return nil
}
