package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/fleet"
)

// scene is one file of testdata: objects as the API server has them, and what the autoscaler says.
type scene struct {
	Node  *corev1.Node        `json:"node"`
	Claim *v1alpha1.NodeClaim `json:"claim"`
	Pods  []corev1.Pod        `json:"pods"`
	Pod   *corev1.Pod         `json:"pod"`
	View  *fleet.View         `json:"view"`
}

func readScene(t *testing.T, name string) scene {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".yaml")
	require.NoError(t, err)
	var w scene
	require.NoError(t, yaml.UnmarshalStrict(text, &w))
	return w
}

func (w scene) facts() nodeFacts {
	f := nodeFacts{node: w.Node, claim: w.Claim, pods: w.Pods}
	if w.Node != nil {
		f.name = w.Node.Name
	} else if w.Claim != nil {
		f.name = w.Claim.Name
	}
	if w.View != nil {
		f.find(w.View)
	}
	return f
}

func TestExplainNode(t *testing.T) {
	for _, name := range []string{"node-stays", "node-leaves", "node-comes", "node-foreign"} {
		t.Run(name, func(t *testing.T) {
			golden(t, name+".txt", explainNode(readScene(t, name).facts(), noon))
		})
	}
}

func TestExplainPod(t *testing.T) {
	for _, name := range []string{"pod-runs", "pod-waits", "pod-hopeless"} {
		t.Run(name, func(t *testing.T) {
			w := readScene(t, name)
			f := podFacts{pod: w.Pod}
			if w.Node != nil {
				node := w.facts()
				f.node = &node
			}
			if w.View != nil {
				f.find(w.View)
			}
			golden(t, name+".txt", explainPod(f, noon))
		})
	}
}

func TestFleetIsAskedFor(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	for want, answer := range map[string]struct {
		status int
		body   string
	}{
		"":                            {200, `{"nodes":[{"name":"n1"}]}`},
		"answers 503":                 {503, `{"error":"nobody leads"}`},
		"what the autoscaler says of": {200, `{"nodes":7}`},
	} {
		t.Run(want, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "/api/v1/nodes", r.URL.Path)
				w.WriteHeader(answer.status)
				_, _ = w.Write([]byte(answer.body))
			}))
			defer server.Close()
			view, err := fetchFleet(t.Context(), server.URL+"/")
			if want != "" {
				assert.ErrorContains(t, err, want)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, "n1", view.Nodes[0].Name)
		})
	}
}
