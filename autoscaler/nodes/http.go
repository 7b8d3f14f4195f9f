package nodes

import (
	"encoding/json"
	"net/http"
)

// Handler answers GET with the newest View as JSON, and with 503 and a reason before there is one.
func (c *Controller) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET is served here", http.StatusMethodNotAllowed)
			return
		}
		view, ok := c.View()
		if !ok {
			http.Error(w, "the nodes have not been read yet", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(view)
	})
}

// Unavailable answers in place of a Controller in a process that has none, with 503 and the reason.
func Unavailable(reason string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, reason, http.StatusServiceUnavailable)
	})
}
