//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// sizes follows applications that hold memory: what the collectors measure on their nodes decides what they request.
func (n *nodes) sizes(t *testing.T) {
	ctx := t.Context()
	eventually(t, "the webhook is known to the API server", func() error {
		_, err := n.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, "yagura-autoscaler", metav1.GetOptions{})
		return err
	})
	n.kubectl(t, ctx, "apply", "-f", filepath.Join("testdata", "sizes.yaml"))
	eventually(t, "all applications run", func() error {
		for app, want := range map[string]int{"grown": 2, "killed": 1, "guarded": 2} {
			if pods, err := n.running(ctx, app); err != nil || len(pods) != want {
				return fmt.Errorf("%d pods of %s run: %v", len(pods), app, err)
			}
		}
		return nil
	})
	t.Run("a container that needs more is resized where it runs", n.grown)
	t.Run("one that is killed for memory comes back larger", n.killed)
	t.Run("a budget keeps pods from being replaced, and the record says so", n.guarded)
}

func (n *nodes) running(ctx context.Context, app string) ([]corev1.Pod, error) {
	list, err := n.kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		return nil, err
	}
	var pods []corev1.Pod
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil && len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Running != nil {
			pods = append(pods, p)
		}
	}
	return pods, nil
}

// memoryOf is what the only container of a pod requests, and its limit.
func memoryOf(pod *corev1.Pod) (request, limit int64) {
	r := pod.Spec.Containers[0].Resources
	return r.Requests.Memory().Value(), r.Limits.Memory().Value()
}

func (n *nodes) grown(t *testing.T) {
	ctx := t.Context()
	need := int64(120 << 20)
	eventually(t, "both pods request what they hold, and their nodes agree", func() error {
		pods, err := n.running(ctx, "grown")
		if err != nil || len(pods) != 2 {
			return fmt.Errorf("%d pods: %v", len(pods), err)
		}
		for i := range pods {
			pod, status := &pods[i], &pods[i].Status.ContainerStatuses[0]
			request, limit := memoryOf(pod)
			switch {
			case request < need:
				return fmt.Errorf("%s requests %d bytes", pod.Name, request)
			case status.RestartCount != 0:
				t.Fatalf("%s was restarted", pod.Name)
			case status.Resources == nil || status.Resources.Limits.Memory().Value() != limit:
				return fmt.Errorf("the node of %s has not carried the resize out", pod.Name)
			}
			enforced, err := cgroupLimit(string(pod.UID), status.ContainerID)
			if err != nil {
				return err
			}
			if enforced != limit {
				return fmt.Errorf("the kernel lets %s have %d bytes, not %d", pod.Name, enforced, limit)
			}
		}
		return nil
	})
}

// cgroupLimit reads the limit of memory that the kernel enforces for a container, on this host, with either version of cgroups.
func cgroupLimit(uid, containerID string) (int64, error) {
	_, id, _ := strings.Cut(containerID, "://")
	limit, found := int64(0), false
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err != nil || found {
			return nil //nolint:nilerr // what is gone by now is not looked for
		}
		name := d.Name()
		if (name != "memory.limit_in_bytes" && name != "memory.max") || !strings.Contains(path, id) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		if limit, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		found = true
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("no cgroup of container %s of pod %s", id, uid)
	}
	return limit, err
}

func (n *nodes) killed(t *testing.T) {
	ctx := t.Context()
	before := resource.MustParse("64Mi")
	var killedAt metav1.Time
	eventually(t, "the container was killed, and lives with more", func() error {
		pods, err := n.running(ctx, "killed")
		if err != nil || len(pods) != 1 {
			return fmt.Errorf("%d pods: %v", len(pods), err)
		}
		status := &pods[0].Status.ContainerStatuses[0]
		end := status.LastTerminationState.Terminated
		if end == nil || end.Reason != "OOMKilled" {
			return fmt.Errorf("not killed yet: %+v", status.LastTerminationState)
		}
		killedAt = end.FinishedAt
		if request, _ := memoryOf(&pods[0]); request <= before.Value() {
			return fmt.Errorf("it still requests %d bytes", request)
		}
		// It holds 90 MiB from 20 s after its start on.
		streams, err := logQL(ctx, n.url, fmt.Sprintf(`{pod=%q, namespace="default"} |= "holds 90 MiB"`, pods[0].Name), 5)
		if err == nil && len(streams) == 0 {
			err = fmt.Errorf("it does not hold 90 MiB yet")
		}
		return err
	})
	records, err := n.records(ctx, "killed")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Outcome == "Resized" && !r.Time.Before(killedAt.Time) {
			t.Logf("killed at %s; resized by the record of %s", killedAt.UTC().Format("15:04:05"), r.Time.UTC().Format("15:04:05.000"))
		}
	}
}

// sizeRecord is what the test reads of a record about sizes.
type sizeRecord struct {
	Time    time.Time `json:"time"`
	Outcome string    `json:"outcome"`
	Code    string    `json:"code"`
	Reason  string    `json:"reason"`
	Pods    []struct {
		Pod, Method, Result, Code string
	} `json:"pods"`
}

func (n *nodes) records(ctx context.Context, name string) ([]sizeRecord, error) {
	streams, err := logQL(ctx, n.url, fmt.Sprintf(`{service_name="yagura-autoscaler"} | json autoscaler="name", direction="direction" | autoscaler=%q | direction="Vertical"`, name), 200)
	if err != nil {
		return nil, err
	}
	var records []sizeRecord
	for _, s := range streams {
		for _, v := range s.Values {
			var r sizeRecord
			if err := json.Unmarshal([]byte(v[1]), &r); err != nil {
				return nil, fmt.Errorf("record %q: %w", v[1], err)
			}
			records = append(records, r)
		}
	}
	return records, nil
}

func (n *nodes) guarded(t *testing.T) {
	ctx := t.Context()
	eventually(t, "a record names the budget", func() error {
		records, err := n.records(ctx, "guarded")
		if err != nil {
			return err
		}
		for _, r := range records {
			if r.Outcome == "Held" && r.Code == "PodDisruptionBudget" && strings.Contains(r.Reason, "guarded") {
				return nil
			}
		}
		return fmt.Errorf("not among %d records", len(records))
	})
	first := map[types.UID]bool{}
	pods, err := n.running(ctx, "guarded")
	if err != nil || len(pods) != 2 {
		t.Fatalf("%d pods: %v", len(pods), err)
	}
	for i := range pods {
		if request, _ := memoryOf(&pods[i]); request != 0 {
			t.Errorf("%s requests %d bytes although nothing could be resized", pods[i].Name, request)
		}
		first[pods[i].UID] = true
	}
	n.kubectl(t, ctx, "delete", "poddisruptionbudget", "guarded", "--namespace", "default")
	eventually(t, "without it both are replaced by pods that have their sizes from the beginning", func() error {
		pods, err := n.running(ctx, "guarded")
		if err != nil || len(pods) != 2 {
			return fmt.Errorf("%d pods: %v", len(pods), err)
		}
		for i := range pods {
			request, _ := memoryOf(&pods[i])
			if first[pods[i].UID] || request < 40<<20 {
				return fmt.Errorf("%s requests %d bytes", pods[i].Name, request)
			}
			if !strings.Contains(pods[i].Annotations["yagura.dev/sized"], "guarded") {
				return fmt.Errorf("%s does not say who sized it", pods[i].Name)
			}
		}
		return nil
	})
}
