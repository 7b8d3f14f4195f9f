package admission

import (
	"context"
	"testing"

	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}()

// objects is what a cache holds, for tests without a cluster.
type objects []client.Object

func (o objects) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	gvk, err := apiutil.GVKForObject(into, scheme)
	if err != nil {
		return err
	}
	for _, object := range o {
		if own, err := apiutil.GVKForObject(object, scheme); err == nil && own == gvk && client.ObjectKeyFromObject(object) == key {
			return scheme.Convert(object, into, nil)
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, key.Name)
}

func (o objects) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	options := (&client.ListOptions{}).ApplyOptions(opts)
	gvk, err := apiutil.GVKForObject(list, scheme)
	if err != nil {
		return err
	}
	var items []runtime.Object
	for _, object := range o {
		own, err := apiutil.GVKForObject(object, scheme)
		if err == nil && own.Kind+"List" == gvk.Kind && (options.Namespace == "" || options.Namespace == object.GetNamespace()) {
			items = append(items, object)
		}
	}
	return meta.SetList(list, items)
}

func list(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

// policyOf is a policy in mode Apply that has sizes for a container "main".
func policyOf(kind, name string, edit func(*v1alpha1.WorkloadAutoscaler)) *v1alpha1.WorkloadAutoscaler {
	group := "apps/v1"
	if kind == "Job" || kind == "CronJob" {
		group = "batch/v1"
	}
	p := &v1alpha1.WorkloadAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid-" + "policy"},
		Spec: v1alpha1.WorkloadAutoscalerSpec{Mode: v1alpha1.Apply, TargetRef: v1alpha1.TargetReference{APIVersion: group, Kind: kind, Name: name},
			Vertical: &v1alpha1.VerticalPolicy{Apply: v1alpha1.ApplyOnCreate}},
		Status: v1alpha1.WorkloadAutoscalerStatus{Vertical: &v1alpha1.VerticalStatus{Containers: []v1alpha1.ContainerSizeStatus{
			{Name: "main", Role: "default", Target: list("cpu", "250m", "memory", "300Mi"), Limits: list("memory", "600Mi"), Reason: "peak 240Mi"}}}},
	}
	if edit != nil {
		edit(p)
	}
	return p
}

// podOf is a pod with one container "main" that a controller makes.
func podOf(kind, name string, edit func(*corev1.Pod)) *corev1.Pod {
	group, controller := "apps/v1", true
	if kind == "Job" {
		group = "batch/v1"
	}
	p := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", GenerateName: name + "-", Labels: map[string]string{"app": "web"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: group, Kind: kind, Name: name, UID: "u", Controller: &controller}}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none",
			Resources: corev1.ResourceRequirements{Requests: list("cpu", "1", "memory", "1Gi"), Limits: list("memory", "2Gi")}}}},
	}
	if edit != nil {
		edit(p)
	}
	return p
}
