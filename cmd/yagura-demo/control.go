package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/yagura-dev/yagura/cmd/yagura-demo/load"
	"github.com/yagura-dev/yagura/cmd/yagura-demo/shop"
)

// control is the demo's own HTTP interface, for people who want to play with the
// load, and for tests:
//
//	GET    /state           the rate, replicas and counts, as JSON
//	PUT    /load?rps=N      hold the load at N requests a second
//	DELETE /load            let it swing again
//	PUT    /mute/SERVICE    cut a service's telemetry while it goes on serving
//	DELETE /mute/SERVICE    restore it
func control(s *shop.Shop, g *load.Generator, logger *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		ok, failed, shed := g.Snapshot()
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]any{
			"replicas": s.Replicas(), "ok": ok, "failed": failed, "shed": shed,
		}); err != nil {
			logger.Debug("state not written", "error", err)
		}
	})
	mux.HandleFunc("PUT /load", func(w http.ResponseWriter, r *http.Request) {
		rps, err := strconv.ParseFloat(r.FormValue("rps"), 64)
		if err != nil || !(rps >= 0 && rps <= 1000) {
			http.Error(w, fmt.Sprintf("rps %q: want a number from 0 to 1000", r.FormValue("rps")), http.StatusBadRequest)
			return
		}
		g.Fix(rps)
		logger.Info("load fixed", "requests_per_second", rps)
	})
	mux.HandleFunc("DELETE /load", func(http.ResponseWriter, *http.Request) {
		g.Release()
		logger.Info("load swings")
	})
	mute := func(muted bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := s.Mute(r.PathValue("service"), muted); err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
			logger.Info("telemetry", "service", r.PathValue("service"), "cut", muted)
		}
	}
	mux.HandleFunc("PUT /mute/{service}", mute(true))
	mux.HandleFunc("DELETE /mute/{service}", mute(false))
	return mux
}
