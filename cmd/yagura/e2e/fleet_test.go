//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

const shopNamespace = "shop"

var autoscalers = schema.GroupVersionResource{Group: "yagura.dev", Version: "v1alpha1", Resource: "workloadautoscalers"}

// The loads of the test in requests a second. At low one replica of each service
// does; at high each needs several, by the targets in the demo's manifests.
const (
	low  = 4
	high = 70
)

// fleet is everything that the fleet test runs.
type fleet struct {
	*cluster
	*platform
	shop    shopControl
	scalers map[string]*scaler
}

// scaler is one of the two autoscalers of which one leads.
type scaler struct {
	*process
	url string
}

// TestFleet follows one real signal of each kind, from a service's SDK or a simulated
// kubelet to the /scale of its Deployment, and then takes the signal, the leader
// and the replicas away.
func TestFleet(t *testing.T) {
	ctx := t.Context()
	f := startFleet(t, ctx)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a resource that makes no sense is refused", f.refused},
		{"replicas follow the load up", f.followUp},
		{"every place tells the same reason", f.sameReason},
		{"the reaction is measured", f.measure},
		{"every page opens in a real browser", f.everyPage},
		{"a signal cut at high load never scales in", f.cutHigh},
		{"a signal cut at low load never scales in", f.cutLow},
		{"replicas follow the load down", f.followDown},
		{"a value set by hand is taken up", f.byHand},
		{"another autoscaler takes over from a killed leader", f.killLeader},
	} {
		if !t.Run(step.name, step.run) {
			return // Each begins where the one before has ended.
		}
	}
}

func startFleet(t *testing.T, ctx context.Context) *fleet {
	t.Helper()
	dir := t.TempDir()
	c := startCluster(t, ctx, "fleet", 3)
	p := startPlatform(t, ctx, dir, "", fleetConfig(c))
	f := &fleet{cluster: c, platform: p, scalers: map[string]*scaler{}}
	for _, id := range []string{"scaler-a", "scaler-b"} {
		f.startScaler(t, id)
	}
	f.shop = startShop(t, ctx, c, p)
	f.shop.load(t, ctx, low)
	// The tests wait for a cut signal to count as stale, and for scaling in.
	for _, name := range []string{"frontend", "catalog", "checkout"} {
		// A signal counts as lost after 10 s, and catalog's is a rate over 10 s, which dries up meanwhile: a window that is not
		// longer than that would act on it before it is lost.
		f.patch(t, ctx, name, `{"spec":{"horizontal":{"fallback":{"after":"10s"},"behavior":{"scaleDown":{"stabilizationWindowSeconds":15}}}}}`)
	}
	return f
}

func (f *fleet) startScaler(t *testing.T, id string) {
	t.Helper()
	config := f.platform.dir + "/" + id + ".yaml"
	if err := os.WriteFile(config, []byte(`
autoscaler:
  leaderElection: {leaseDuration: 4s, renewDeadline: 3s, retryPeriod: 500ms}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	addr := freePorts(t, 1)[0]
	f.scalers[id] = &scaler{url: "http://" + addr, process: start(t, f.platform.dir, id, "yagura-autoscaler",
		"--kubeconfig", f.kubeconfig, "--query-url", f.url, "--otlp", f.otlp, "--http", addr, "--install-crds", "--config", config)}
}

func (f *fleet) patch(t *testing.T, ctx context.Context, name, patch string) {
	t.Helper()
	eventually(t, "patch "+name, func() error {
		_, err := f.dynamic.Resource(autoscalers).Namespace(shopNamespace).
			Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		return err
	})
}

func (f *fleet) replicas(ctx context.Context, name string) (int32, error) {
	scale, err := f.kube.AppsV1().Deployments(shopNamespace).GetScale(ctx, name, metav1.GetOptions{})
	if err != nil {
		return 0, err
	}
	return scale.Spec.Replicas, nil
}

func (f *fleet) between(ctx context.Context, name string, from, to int32) func() error {
	return func() error {
		n, err := f.replicas(ctx, name)
		if err == nil && (n < from || n > to) {
			err = fmt.Errorf("%s has %d replicas, want %d to %d", name, n, from, to)
		}
		return err
	}
}

func (f *fleet) followUp(t *testing.T) {
	ctx := t.Context()
	for _, name := range []string{"frontend", "catalog", "checkout"} {
		eventually(t, name+" rests at low load", f.between(ctx, name, 1, 2))
	}
	f.shop.load(t, ctx, high)
	eventually(t, "checkout follows PromQL", f.between(ctx, "checkout", 3, 12))
	eventually(t, "catalog follows LogQL", f.between(ctx, "catalog", 3, 12))
	eventually(t, "frontend follows CPU", f.between(ctx, "frontend", 3, 12))
}

// status of an autoscaler, as far as the tests look at it.
type status struct {
	Outcome, Reason string
}

func (f *fleet) status(ctx context.Context, name string) (status, error) {
	obj, err := f.dynamic.Resource(autoscalers).Namespace(shopNamespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return status{}, err
	}
	outcome, _, err := unstructured.NestedString(obj.Object, "status", "outcome")
	if err != nil {
		return status{}, err
	}
	reason, _, err := unstructured.NestedString(obj.Object, "status", "reason")
	return status{outcome, reason}, err
}

func (f *fleet) sameReason(t *testing.T) {
	ctx := t.Context()
	eventually(t, "status, kubectl describe and yagura logs agree", func() error {
		st, err := f.status(ctx, "checkout")
		if err != nil {
			return err
		}
		if st.Reason == "" {
			return fmt.Errorf("no reason in status %+v", st)
		}
		described, err := try(t, ctx, "devcluster", "kubectl", "--dir", f.cluster.dir, "--", "describe", "wa", "checkout", "-n", shopNamespace)
		if err != nil {
			return err
		}
		// kubectl describe breaks no lines inside a value.
		if !strings.Contains(described, st.Reason) {
			return fmt.Errorf("kubectl describe lacks %q:\n%s", st.Reason, described)
		}
		logged, err := try(t, ctx, "yagura", "logs", "--url", f.url, "--limit", "20",
			`{service_name="yagura-autoscaler"} | json | name="checkout"`)
		if err != nil {
			return err
		}
		quoted, err := json.Marshal(st.Reason)
		if err != nil {
			return err
		}
		if !strings.Contains(logged, string(quoted)) {
			return fmt.Errorf("yagura logs lacks %s:\n%s", quoted, logged)
		}
		return nil
	})
	listed := f.kubectl(t, ctx, "get", "wa", "-A")
	for _, want := range []string{"frontend", "catalog", "checkout", "Apply"} {
		if !strings.Contains(listed, want) {
			t.Errorf("kubectl get wa -A lacks %s:\n%s", want, listed)
		}
	}
	t.Logf("kubectl get wa -A\n%s", listed)
}

// measure steps the load up again and again and reports how long it takes until the
// Deployment's /scale is updated, as a watch of the API server sees it.
func (f *fleet) measure(t *testing.T) {
	ctx := t.Context()
	steps := 10
	if s := os.Getenv("YAGURA_STEPS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("YAGURA_STEPS=%q: want a number above 0", s)
		}
		steps = n
	}
	f.patch(t, ctx, "checkout", `{"spec":{"horizontal":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":0}}}}}`)
	var took []time.Duration
	for range steps {
		f.shop.load(t, ctx, low)
		eventually(t, "checkout rests before the step", f.between(ctx, "checkout", 1, 1))
		took = append(took, f.step(t, ctx))
	}
	slices.Sort(took)
	t.Logf("load step to /scale update, %d steps: median %s, worst %s (all: %v)",
		steps, took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), took)
	f.patch(t, ctx, "checkout", `{"spec":{"horizontal":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":15}}}}}`)
}

func (f *fleet) step(t *testing.T, ctx context.Context) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w, err := f.kube.AppsV1().Deployments(shopNamespace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=checkout"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	f.shop.load(t, ctx, high)
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			t.Fatalf("no scaling out within %s of the step", patience)
		case e, ok := <-w.ResultChan():
			if !ok {
				t.Fatal("the watch ended")
			}
			if e.Type == watch.Modified {
				if n, err := f.replicas(ctx, "checkout"); err == nil && n > 1 {
					return time.Since(began)
				}
			}
		}
	}
}

// holds checks that an autoscaler says, in status and log, that it holds because its
// signal is gone.
func (f *fleet) holds(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	var st status
	eventually(t, name+" holds and says why", func() error {
		var err error
		if st, err = f.status(ctx, name); err != nil {
			return err
		}
		said := strings.ToLower(st.Reason)
		if st.Outcome != "Held" || !strings.Contains(said, "stale") && !strings.Contains(said, "missing") && !strings.Contains(said, "no sample") && !strings.Contains(said, "no line") {
			return fmt.Errorf("status %+v", st)
		}
		r, err := f.lastRecord(ctx, name)
		if err != nil {
			return err
		}
		if r.Outcome != "Held" || r.Reason != st.Reason {
			return fmt.Errorf("the last record says %s: %s; the status says %s", r.Outcome, r.Reason, st.Reason)
		}
		return nil
	})
	t.Logf("%s: %s", name, st.Reason)
	f.seenInUI(t, ctx, name, st.Reason)
}

func (f *fleet) mute(t *testing.T, ctx context.Context, method string) {
	t.Helper()
	for _, name := range []string{"catalog", "checkout"} {
		f.shop.do(t, ctx, method, "/mute/"+name)
	}
}

func (f *fleet) cutHigh(t *testing.T) {
	ctx := t.Context()
	f.shop.load(t, ctx, high)
	for _, name := range []string{"catalog", "checkout"} {
		eventually(t, name+" is scaled out", f.between(ctx, name, 3, 12))
	}
	f.mute(t, ctx, "PUT")
	// What was read before the cut may still be acted upon for a moment.
	time.Sleep(3 * time.Second)
	before := f.peaks(t, ctx)
	throughout(t, 25*time.Second, "no scaling in without a signal", f.notBelow(ctx, before))
	for _, name := range []string{"catalog", "checkout"} {
		f.holds(t, ctx, name)
	}
	throughout(t, 5*time.Second, "no scaling in without a signal", f.notBelow(ctx, before))
}

// cutLow begins with the signals cut and the load high.
func (f *fleet) cutLow(t *testing.T) {
	ctx := t.Context()
	before := f.peaks(t, ctx)
	f.shop.load(t, ctx, low)
	throughout(t, 25*time.Second, "no scaling in without a signal", f.notBelow(ctx, before))
	for _, name := range []string{"catalog", "checkout"} {
		f.holds(t, ctx, name)
	}
}

func (f *fleet) peaks(t *testing.T, ctx context.Context) map[string]int32 {
	t.Helper()
	out := map[string]int32{}
	for _, name := range []string{"catalog", "checkout"} {
		n, err := f.replicas(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = n
	}
	return out
}

func (f *fleet) notBelow(ctx context.Context, before map[string]int32) func() error {
	return func() error {
		for name, n := range before {
			if err := f.between(ctx, name, n, 12)(); err != nil {
				return err
			}
		}
		return nil
	}
}

func (f *fleet) followDown(t *testing.T) {
	ctx := t.Context()
	f.mute(t, ctx, "DELETE")
	for _, name := range []string{"frontend", "catalog", "checkout"} {
		eventually(t, name+" follows the load down", f.between(ctx, name, 1, 2))
	}
}

func (f *fleet) byHand(t *testing.T) {
	ctx := t.Context()
	_, err := f.kube.AppsV1().Deployments(shopNamespace).UpdateScale(ctx, "checkout", &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: "checkout", Namespace: shopNamespace},
		Spec:       autoscalingv1.ScaleSpec{Replicas: 9},
	}, metav1.UpdateOptions{FieldManager: "a-person"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a record shows the value set by hand", func() error {
		streams, err := f.logQL(ctx, `{service_name="yagura-autoscaler"} | json | name="checkout" | currentReplicas="9"`, 5)
		if err == nil && len(streams) == 0 {
			err = fmt.Errorf("no record with 9 replicas")
		}
		return err
	})
	eventually(t, "the signal governs again", f.between(ctx, "checkout", 1, 2))
}

// leader is the autoscaler that says of itself that it leads.
func (f *fleet) leader(ctx context.Context) (string, error) {
	var states []string
	for id, s := range f.scalers {
		body, err := request(ctx, "GET", s.url+"/state")
		if err != nil {
			states = append(states, id+": "+err.Error())
			continue
		}
		var state struct{ Phase string }
		if err := json.Unmarshal([]byte(body), &state); err != nil {
			return "", err
		}
		if state.Phase == "Leading" {
			return id, nil
		}
		states = append(states, id+": "+state.Phase)
	}
	return "", fmt.Errorf("no autoscaler leads: %v", states)
}

func (f *fleet) killLeader(t *testing.T) {
	ctx := t.Context()
	f.shop.load(t, ctx, high)
	eventually(t, "checkout is scaled out", f.between(ctx, "checkout", 3, 12))
	leader, err := f.leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f.scalers[leader].kill()
	delete(f.scalers, leader)
	killed := time.Now()
	before := f.peaks(t, ctx) // Only now: until its end the leader may scale.
	throughout(t, 3*time.Second, "nothing is scaled in without a leader", func() error {
		err := f.notBelow(ctx, before)()
		if _, none := f.leader(ctx); err != nil && none == nil {
			return nil // There is one already, who may.
		}
		return err
	})
	eventually(t, "the other one leads", func() error {
		_, err := f.leader(ctx)
		return err
	})
	eventually(t, "the new leader decides", func() error {
		r, err := f.lastRecord(ctx, "checkout")
		if err == nil && !r.Time.After(killed) {
			err = fmt.Errorf("the last record is of %s, the leader was killed at %s", r.Time, killed)
		}
		return err
	})
	f.shop.load(t, ctx, low)
	eventually(t, "the new leader scales in", f.between(ctx, "checkout", 1, 2))
	f.shop.load(t, ctx, high)
	eventually(t, "the new leader scales out", f.between(ctx, "checkout", 3, 12))
}

func (f *fleet) refused(t *testing.T) {
	ctx := t.Context()
	good := map[string]any{
		"targetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "nothing"},
		"horizontal": map[string]any{"min": int64(1), "max": int64(3), "objectives": []any{
			map[string]any{"name": "cpu", "resource": map[string]any{"name": "cpu", "utilization": int64(70)}},
		}},
	}
	for name, tc := range map[string]struct {
		field []string
		value any
		says  string
	}{
		"min above max":         {[]string{"horizontal", "min"}, int64(4), "min"},
		"an unknown mode":       {[]string{"mode"}, "Sometimes", "mode"},
		"no objectives":         {[]string{"horizontal", "objectives"}, []any{}, "objectives"},
		"two kinds of a signal": {[]string{"horizontal", "objectives"}, []any{map[string]any{"name": "x", "resource": map[string]any{"name": "cpu", "utilization": int64(70)}, "query": map[string]any{"promql": "up", "target": "1"}}}, "objectives"},
		"two languages":         {[]string{"horizontal", "objectives"}, []any{map[string]any{"name": "x", "query": map[string]any{"promql": "up", "logql": "{a=\"b\"}", "target": "1"}}}, "query"},
	} {
		t.Run(name, func(t *testing.T) {
			obj := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "yagura.dev/v1alpha1", "kind": "WorkloadAutoscaler",
				"metadata": map[string]any{"name": "refused", "namespace": shopNamespace},
			}}
			spec := (&unstructured.Unstructured{Object: good}).DeepCopy().Object
			if err := unstructured.SetNestedField(spec, tc.value, tc.field...); err != nil {
				t.Fatal(err)
			}
			obj.Object["spec"] = spec
			_, err := f.dynamic.Resource(autoscalers).Namespace(shopNamespace).
				Create(ctx, obj, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want one that names %s", err, tc.says)
			}
		})
	}
}
