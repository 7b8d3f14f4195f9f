package kube

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// podObject is a running pod with one container.
func podObject(uid string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			UID: types.UID(uid), Namespace: "shop", Name: "checkout-5d8f-x1", Labels: map[string]string{"app": "checkout"},
			CreationTimestamp: metav1.NewTime(start), ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
		},
		Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "app", Image: "checkout:1"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: "10.0.0.7"}, {IP: "fd00::7"}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "app", ContainerID: "containerd://" + uid + "-c", Image: "checkout:1", RestartCount: 2,
				State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(start)}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ContainerID: "containerd://" + uid + "-before"}},
			}},
		},
	}
	for _, c := range change {
		c(pod)
	}
	return pod
}

func newTestIndex() (*index, *clocktesting.FakePassiveClock) {
	clock := clocktesting.NewFakePassiveClock(start)
	return newIndex(clock, time.Minute), clock
}

func TestPodIsFoundByEverythingItsDataCarries(t *testing.T) {
	x, _ := newTestIndex()
	stripped, err := strip(podObject("u1"))
	require.NoError(t, err)
	require.Empty(t, stripped.(*corev1.Pod).ManagedFields)
	require.NoError(t, x.Add(stripped))

	pod, ok := x.podByUID("u1")
	require.True(t, ok)
	require.Equal(t, "shop/checkout-5d8f-x1 on n1", fmt.Sprintf("%s/%s on %s", pod.Namespace, pod.Name, pod.Node))
	require.Equal(t, map[string]string{"app": "checkout"}, pod.Labels)
	require.Equal(t, []Container{{Name: "app", ID: "u1-c", Image: "checkout:1", Restarts: 2, Started: start, previousID: "u1-before"}}, pod.Containers)
	for _, ip := range []string{"10.0.0.7", "::ffff:10.0.0.7", "fd00::7"} {
		pod, ok := x.podByIP(netip.MustParseAddr(ip))
		require.True(t, ok, ip)
		require.Equal(t, "u1", pod.UID)
	}
	for _, id := range []string{"u1-c", "containerd://u1-c"} {
		_, container, ok := x.containerByID(id)
		require.True(t, ok, id)
		require.Equal(t, "app", container.Name)
		require.False(t, container.Started.IsZero())
	}
	_, before, ok := x.containerByID("u1-before")
	require.True(t, ok)
	require.Equal(t, "app", before.Name)
	require.True(t, before.Started.IsZero(), "the start is the present run's")
	for _, id := range []string{"", "unknown"} {
		_, _, ok := x.containerByID(id)
		require.False(t, ok)
	}
}

func TestAddressIsNotTakenForAPodThatDoesNotOwnIt(t *testing.T) {
	ip := netip.MustParseAddr("10.0.0.7")
	for name, change := range map[string]func(*corev1.Pod){
		"on the host's network": func(p *corev1.Pod) { p.Spec.HostNetwork = true },
		"has succeeded":         func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded },
		"has failed":            func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed },
	} {
		x, _ := newTestIndex()
		require.NoError(t, x.Add(podObject("u1")))
		require.NoError(t, x.Update(podObject("u1", change)))
		_, ok := x.podByIP(ip)
		require.False(t, ok, name)
		_, ok = x.podByUID("u1")
		require.True(t, ok, name)
	}
}

func TestDeletedPodIsFoundForAWhile(t *testing.T) {
	x, clock := newTestIndex()
	require.NoError(t, x.Add(podObject("u1")))
	require.NoError(t, x.Delete(cache.DeletedFinalStateUnknown{Obj: podObject("u1")}))
	_, ok := x.podByUID("u1")
	require.True(t, ok, "its last lines may still come")
	_, ok = x.podByIP(netip.MustParseAddr("10.0.0.7"))
	require.False(t, ok, "its address may be another's")
	pods, _ := x.size()
	require.Zero(t, pods)

	clock.SetTime(start.Add(time.Minute))
	x.purgeNow()
	_, ok = x.podByUID("u1")
	require.False(t, ok)
	_, _, ok = x.containerByID("u1-c")
	require.False(t, ok)
	require.Empty(t, x.byContainer)
	require.Empty(t, x.byIP)
}

func TestPodThatCameBackUnderTheSameName(t *testing.T) {
	x, clock := newTestIndex()
	require.NoError(t, x.Add(podObject("u1")))
	require.NoError(t, x.Update(podObject("u2")))
	require.NoError(t, x.Delete(podObject("u1")), "an event that is late")
	for _, uid := range []string{"u1", "u2"} {
		_, ok := x.podByUID(uid)
		require.True(t, ok, uid)
	}
	pod, ok := x.podByIP(netip.MustParseAddr("10.0.0.7"))
	require.True(t, ok)
	require.Equal(t, "u2", pod.UID)
	clock.SetTime(start.Add(time.Hour))
	x.purgeNow()
	_, ok = x.podByUID("u1")
	require.False(t, ok)
	_, ok = x.podByUID("u2")
	require.True(t, ok)
	pod, ok = x.podByIP(netip.MustParseAddr("10.0.0.7"))
	require.True(t, ok, "forgetting u1 takes nothing from u2")
	require.Equal(t, "u2", pod.UID)
}

func TestRelistRetiresWhatIsGone(t *testing.T) {
	x, _ := newTestIndex()
	require.NoError(t, x.Add(podObject("u1")))
	other := podObject("u2", func(p *corev1.Pod) { p.Name = "other"; p.Status.PodIPs = nil })
	require.NoError(t, x.Replace([]any{other}, "7"))
	pods, synced := x.size()
	require.Equal(t, 1, pods)
	require.True(t, synced)
	_, ok := x.podByIP(netip.MustParseAddr("10.0.0.7"))
	require.False(t, ok)
	require.ErrorIs(t, x.Add("nonsense"), errNotAPod)
}

func TestStaticPodIsFoundByTheUIDThatTheKubeletUses(t *testing.T) {
	x, _ := newTestIndex()
	require.NoError(t, x.Add(podObject("u1", func(p *corev1.Pod) {
		p.Annotations = map[string]string{annotationConfigMirror: "hash", annotationConfigHash: "hash"}
	})))
	pod, ok := x.podByUID("hash")
	require.True(t, ok)
	require.Equal(t, "u1", pod.UID)
}

func TestWorkload(t *testing.T) {
	yes := true
	job := func(at time.Time) string { return fmt.Sprintf("backup-%d", at.Unix()/60) }
	for name, test := range map[string]struct {
		kind, owner, hash string
		want              Workload
	}{
		"deployment":                  {"ReplicaSet", "checkout-5d8f", "5d8f", Workload{"Deployment", "checkout"}},
		"replica set of its own":      {"ReplicaSet", "checkout", "", Workload{"ReplicaSet", "checkout"}},
		"another controller's":        {"ReplicaSet", "checkout-5d8f", "77aa", Workload{"ReplicaSet", "checkout-5d8f"}},
		"stateful set":                {"StatefulSet", "db", "", Workload{"StatefulSet", "db"}},
		"daemon set":                  {"DaemonSet", "agent", "", Workload{"DaemonSet", "agent"}},
		"cron job":                    {"Job", job(start), "", Workload{"CronJob", "backup"}},
		"cron job, retried":           {"Job", job(start.Add(-time.Hour)), "", Workload{"CronJob", "backup"}},
		"job named by a date":         {"Job", "import-20260301", "", Workload{"Job", "import-20260301"}},
		"job named by another minute": {"Job", job(start.Add(-30 * 24 * time.Hour)), "", Workload{"Job", job(start.Add(-30 * 24 * time.Hour))}},
		"job named by a huge number":  {"Job", "a-99999999999999999", "", Workload{"Job", "a-99999999999999999"}},
		"job":                         {"Job", "migrate", "", Workload{"Job", "migrate"}},
		"bare":                        {"", "", "", Workload{}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := podObject("u", func(p *corev1.Pod) {
				if test.kind != "" {
					p.OwnerReferences = []metav1.OwnerReference{{Kind: test.kind, Name: test.owner, Controller: &yes}}
				}
				if test.hash != "" {
					p.Labels["pod-template-hash"] = test.hash
				}
			})
			require.Equal(t, test.want, workloadOf(pod))
		})
	}
}
