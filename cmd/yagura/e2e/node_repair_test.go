//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// repairPolicy buys real kubelets, and replaces one that was not heard of for some seconds.
const repairPolicy = `
apiVersion: yagura.dev/v1alpha1
kind: NodePolicy
metadata: {name: workers}
spec:
  mode: Apply
  provider: {name: devcluster}
  limits: {nodes: 3}
  template: {labels: {pool: workers}}
  disruption: {consolidation: {when: Never}, budgets: [{nodes: 2}]}
  repair:
    rules: [{name: ready, condition: {type: Ready, statuses: ["False", Unknown]}, for: 5s}]
    maxUnhealthy: 100
    bootTimeout: 3m
`

// TestNodeRepair buys a real kubelet by cluster-autoscaler's provider protocol, takes its power away, and waits for its pod to run
// on a fresh one.
func TestNodeRepair(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("real kubelets need Linux and root, and CI has to have them")
		}
		t.Skip("SKIPPED: real kubelets need Linux and root")
	}
	ctx := t.Context()
	dir := t.TempDir()
	c := startCluster(t, ctx, "node", 1)
	c.loadImage(t, ctx, "yagura/speaker:dev", buildApplication(t, ctx, dir, "speaker"))
	address := freePorts(t, 1)[0]
	start(t, dir, "provider", "yagura-devcluster-provider", "--dir", c.dir, "--devcluster", binary(t, "devcluster"),
		"--group", "workers=0:3:0.10", "--listen", address)
	startPlatform(t, ctx, dir, c.kubeconfig, fmt.Sprintf(`
autoscaler:
  providers:
    instances:
      devcluster: {external: {address: %q, insecure: true, settle: 20s, refreshInterval: 1s}}
`, address))
	scheme := kruntime.NewScheme()
	for _, add := range []func(*kruntime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	api, err := client.New(c.rest, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	var policy v1alpha1.NodePolicy
	if err := yaml.UnmarshalStrict([]byte(repairPolicy), &policy); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the policy is taken", func() error { return api.Create(ctx, policy.DeepCopy()) })

	labels := map[string]string{"app.kubernetes.io/name": "wanderer"}
	d := deployment("wanderer", "yagura/speaker:dev", 1, labels, corev1.PodSpec{
		TerminationGracePeriodSeconds: ptr.To(int64(1)), NodeSelector: map[string]string{"pool": "workers"},
	})
	d.Namespace = "default"
	began := time.Now()
	if err := api.Create(ctx, d); err != nil {
		t.Fatal(err)
	}
	first := waitForPod(t, ctx, api, labels, "")
	t.Logf("the pod runs on %s, bought for it, after %s", first, time.Since(began).Round(time.Second))

	began = time.Now()
	run(t, ctx, "devcluster", "node", "poweroff", first, "--dir", c.dir)
	second := waitForPod(t, ctx, api, labels, first)
	t.Logf("%s lost its power; the pod runs on %s after %s", first, second, time.Since(began).Round(time.Second))
	eventuallyWithin(t, 3*time.Minute, "the dead node is gone", func() error {
		var node corev1.Node
		err := api.Get(ctx, client.ObjectKey{Name: first}, &node)
		if err == nil {
			return fmt.Errorf("%s is still there", first)
		}
		return client.IgnoreNotFound(err)
	})
	var claims v1alpha1.NodeClaimList
	eventually(t, "one claim is left", func() error {
		if err := api.List(ctx, &claims); err != nil {
			return err
		}
		if len(claims.Items) != 1 || claims.Items[0].Status.NodeName != second {
			return fmt.Errorf("%d claims: %+v", len(claims.Items), claims.Items[0].Status)
		}
		return nil
	})
	if _, err := os.Stat(filepath.Join(c.dir, "provider.json")); err != nil {
		t.Error(err)
	}
}

// waitForPod returns the node on which the pod is ready, another one than not.
func waitForPod(t *testing.T, ctx context.Context, api client.Client, labels map[string]string, not string) string {
	t.Helper()
	var on string
	eventuallyWithin(t, 5*time.Minute, "the pod is ready on a node of the policy", func() error {
		var pods corev1.PodList
		if err := api.List(ctx, &pods, client.InNamespace("default"), client.MatchingLabels(labels)); err != nil {
			return err
		}
		var seen []string
		for _, p := range pods.Items {
			ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			})
			if ready && p.Spec.NodeName != not && p.DeletionTimestamp == nil {
				on = p.Spec.NodeName
				return nil
			}
			seen = append(seen, fmt.Sprintf("%s on %q %s", p.Name, p.Spec.NodeName, p.Status.Phase))
		}
		var claims v1alpha1.NodeClaimList
		if err := api.List(ctx, &claims); err != nil {
			return err
		}
		for _, claim := range claims.Items {
			seen = append(seen, fmt.Sprintf("claim %s %s: %s", claim.Name, claim.Status.Phase, claim.Status.Message))
		}
		return fmt.Errorf("%q", seen)
	})
	return on
}
