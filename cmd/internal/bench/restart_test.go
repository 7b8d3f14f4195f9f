package bench

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestRestartAsksNoQuestion restarts a process in front of a real query service. What
// is asked until it is up must be answered, and must not warm up what is asked later.
func TestRestartAsksNoQuestion(t *testing.T) {
	at, _ := service(t)
	var mu sync.Mutex
	var asked []string
	next := httputil.NewSingleHostReverseProxy(at)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.RequestURI())
		mu.Unlock()
		next.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	process := exec.Command("sleep", "600")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = process.Wait() }()
	target := Target{Kind: Yagura, URL: proxy.URL, PID: process.Process.Pid, Start: "sleep 600 >/dev/null 2>&1 & echo $!"}
	defer func() {
		if p, err := os.FindProcess(target.PID); err == nil {
			_ = p.Kill()
		}
	}()
	r := &runner{client: newClient()}
	defer r.client.close()
	for _, s := range Signals {
		for _, e := range target.endpoints(s) {
			mu.Lock()
			asked = nil
			mu.Unlock()
			if _, err := r.restart(t.Context(), &target, e); err != nil {
				t.Fatalf("%s: %v", e.api, err)
			}
			want := e.url[len(proxy.URL):] + probes[e.api]
			mu.Lock()
			if !slices.Equal(asked, []string{want}) {
				t.Errorf("%s: asked %q, want %q alone", e.api, asked, want)
			}
			mu.Unlock()
		}
	}
	w := window{time.Unix(0, 0), time.Unix(3600, 0)}
	for _, q := range slices.Concat(logQuestions(&logTruth{}, w), traceQuestions(&traceTruth{}, w), seriesQuestions(w)) {
		for a, calls := range q.calls {
			for _, c := range calls {
				if c.path == probes[a] {
					t.Errorf("%s: %s is asked for before it is measured", q.Name, c.path)
				}
			}
		}
	}
}
