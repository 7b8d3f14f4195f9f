package server

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// notBuilt is what stands in for the web interface in a binary that was built
// without it.
const notBuilt = `<!doctype html><html lang="en"><title>Yagura</title>
<h1>Yagura</h1><p>This binary was built without the web interface. <code>make build</code> includes it.
The APIs are described in <a href="/api/openapi.yaml">/api/openapi.yaml</a>.</p></html>
`

// apiPrefixes are never answered with the interface: a client that asked for data
// must not get a page.
var apiPrefixes = []string{"/api/", "/prometheus/", "/loki/", "/jaeger/", "/tempo/", "/v1/"}

// userInterface serves the embedded files, and index.html for every path that
// belongs to the client-side router.
type userInterface struct {
	files fs.FS
	index []byte
}

func newInterface(files fs.FS) (*userInterface, error) {
	index, err := fs.ReadFile(files, "index.html")
	if errors.Is(err, fs.ErrNotExist) {
		index = []byte(notBuilt)
	} else if err != nil {
		return nil, fmt.Errorf("read the web interface: %w", err)
	}
	return &userInterface{files: files, index: index}, nil
}

func (u *userInterface) serve(c echo.Context) error {
	urlPath := c.Request().URL.Path
	for _, p := range apiPrefixes {
		if strings.HasPrefix(urlPath+"/", p) {
			return echo.NewHTTPError(http.StatusNotFound, "there is nothing at "+urlPath)
		}
	}
	name := strings.TrimPrefix(path.Clean(urlPath), "/")
	if name != "" && name != "index.html" && !strings.HasPrefix(name, ".") {
		if info, err := fs.Stat(u.files, name); err == nil && info.Mode().IsRegular() {
			return u.file(c, name)
		}
		if strings.HasPrefix(name, "assets/") {
			return echo.NewHTTPError(http.StatusNotFound, "there is no such file; reload the page")
		}
	}
	// Never cached: it names the files of this build.
	c.Response().Header().Set("Cache-Control", "no-cache")
	return c.HTMLBlob(http.StatusOK, u.index)
}

func (u *userInterface) file(c echo.Context, name string) error {
	data, err := fs.ReadFile(u.files, name)
	if err != nil {
		return fmt.Errorf("read %s of the web interface: %w", name, err)
	}
	if strings.HasPrefix(name, "assets/") { // their names contain a hash of their content
		c.Response().Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(c.Response(), c.Request(), name, time.Time{}, bytes.NewReader(data))
	return nil
}
