package workload

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestPodIndexFindsWhatSelectorsMatch(t *testing.T) {
	scheme := runtime.NewScheme()
	require.NoError(t, corev1.AddToScheme(scheme))
	var objects []client.Object
	for i := range 20 {
		l := map[string]string{"app": []string{"web", "api"}[i%2], "tier": fmt.Sprint(i % 3)}
		if i == 7 {
			l = nil
		}
		objects = append(objects, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("pod-%d", i), Labels: l}})
	}
	objects = append(objects, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "stranger", Labels: map[string]string{"app": "web"}}})
	index := newPodIndex(fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build())
	for _, text := range []string{"app=web", "app=web,tier=1", "app in (web,api),tier=2", "app in (web)", "app!=web", "!app", "tier", "app=nobody", "tier notin (1)", ""} {
		selector, err := labels.Parse(text)
		require.NoError(t, err)
		got, err := index.matching(t.Context(), "shop", selector)
		require.NoError(t, err)
		var want, names []string
		for _, o := range objects {
			if o.GetNamespace() == "shop" && selector.Matches(labels.Set(o.GetLabels())) {
				want = append(want, o.GetName())
			}
		}
		for _, pod := range got {
			names = append(names, pod.Name)
		}
		slices.Sort(want)
		slices.Sort(names)
		assert.Equal(t, want, names, "%q", text)
	}
	got, err := index.matching(t.Context(), "shop", labels.Nothing())
	require.NoError(t, err)
	assert.Empty(t, got)
}
