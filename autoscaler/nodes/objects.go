package nodes

import (
	"context"
	"fmt"
	"maps"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// AddToScheme adds the groups of everything that is watched here and not by the loop over workloads.
func AddToScheme(scheme *runtime.Scheme) error {
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, coordinationv1.AddToScheme, nodev1.AddToScheme,
		policyv1.AddToScheme, resourcev1.AddToScheme, schedulingv1.AddToScheme, schedulingv1alpha3.AddToScheme, schedulingv1beta1.AddToScheme, storagev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	return nil
}

// everywhere makes an object watched in all namespaces, whatever the policies of workloads are restricted to: a node is full of pods
// of all namespaces.
var everywhere = map[string]cache.Config{cache.AllNamespaces: {}}

// CachedObjects says what the cache must hold beside what the loop over workloads reads, and what is left out of it. Pods, Deployments,
// StatefulSets, DaemonSets, Nodes and WorkloadAutoscalers are that loop's, and must be watched in all namespaces.
//
// Kinds that the cluster does not serve, and need not, are left out: the mapper knows.
func CachedObjects(mapper meta.RESTMapper) map[client.Object]cache.ByObject {
	objects := map[client.Object]cache.ByObject{
		&v1alpha1.NodePolicy{}:              {Transform: slim[*v1alpha1.NodePolicy](nil)},
		&v1alpha1.NodeClaim{}:               {Transform: slim[*v1alpha1.NodeClaim](nil)},
		&coordinationv1.Lease{}:             {Namespaces: map[string]cache.Config{corev1.NamespaceNodeLease: {}}, Transform: slim(slimLease)},
		&policyv1.PodDisruptionBudget{}:     {Namespaces: everywhere, Transform: slim[*policyv1.PodDisruptionBudget](nil)},
		&appsv1.ReplicaSet{}:                {Namespaces: everywhere, Transform: slim(slimReplicaSet)},
		&corev1.PersistentVolumeClaim{}:     {Namespaces: everywhere, Transform: slim[*corev1.PersistentVolumeClaim](nil)},
		&corev1.PersistentVolume{}:          {Transform: slim[*corev1.PersistentVolume](nil)},
		&corev1.Namespace{}:                 {Transform: slim[*corev1.Namespace](nil)},
		&storagev1.StorageClass{}:           {Transform: slim[*storagev1.StorageClass](nil)},
		&storagev1.CSINode{}:                {Transform: slim[*storagev1.CSINode](nil)},
		&nodev1.RuntimeClass{}:              {Transform: slim[*nodev1.RuntimeClass](nil)},
		&schedulingv1.PriorityClass{}:       {Transform: slim[*schedulingv1.PriorityClass](nil)},
		&storagev1.CSIDriver{}:              {Transform: slim[*storagev1.CSIDriver](nil)},
		&storagev1.CSIStorageCapacity{}:     {Namespaces: everywhere, Transform: slim[*storagev1.CSIStorageCapacity](nil)},
		&storagev1.VolumeAttachment{}:       {Transform: slim[*storagev1.VolumeAttachment](nil)},
		&resourcev1.ResourceClaimTemplate{}: {Namespaces: everywhere, Transform: slim[*resourcev1.ResourceClaimTemplate](nil)},
		&resourcev1.DeviceTaintRule{}:       {Transform: slim[*resourcev1.DeviceTaintRule](nil)},
		&schedulingv1beta1.PodGroup{}:       {Namespaces: everywhere, Transform: slim[*schedulingv1beta1.PodGroup](nil)},
		&resourcev1.ResourceClaim{}:         {Namespaces: everywhere, Transform: slim[*resourcev1.ResourceClaim](nil)},
		&resourcev1.ResourceSlice{}:         {Transform: slim[*resourcev1.ResourceSlice](nil)},
		&resourcev1.DeviceClass{}:           {Transform: slim[*resourcev1.DeviceClass](nil)},
		&schedulingv1alpha3.PodGroup{}:      {Namespaces: everywhere, Transform: slim[*schedulingv1alpha3.PodGroup](nil)},
	}
	served := func(kind schema.GroupVersionKind) bool {
		_, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		return !meta.IsNoMatchError(err)
	}
	if served(optional[reflect.TypeFor[*schedulingv1beta1.PodGroup]()]) {
		// The same objects would be told twice.
		maps.DeleteFunc(objects, func(o client.Object, _ cache.ByObject) bool {
			_, older := o.(*schedulingv1alpha3.PodGroup)
			return older
		})
	}
	for object, kind := range optional {
		if !served(kind) {
			maps.DeleteFunc(objects, func(o client.Object, _ cache.ByObject) bool { return reflect.TypeOf(o) == object })
		}
	}
	for _, kind := range otherGroups {
		if served(kind) {
			group := &unstructured.Unstructured{}
			group.SetGroupVersionKind(kind)
			objects[group] = cache.ByObject{Namespaces: everywhere, Transform: slim(slimGroup)}
		}
	}
	return objects
}

// otherGroups are the groups of pods of other schedulers.
var otherGroups = []schema.GroupVersionKind{
	{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Kind: "PodGroup"},
	{Group: "scheduling.volcano.sh", Version: "v1beta1", Kind: "PodGroup"},
}

// slimGroup keeps how many pods a group needs.
func slimGroup(g *unstructured.Unstructured) {
	delete(g.Object, "status")
}

// optional are kinds that a cluster need not serve: what they are about does not exist there then.
var optional = map[reflect.Type]schema.GroupVersionKind{
	reflect.TypeFor[*resourcev1.ResourceClaim]():         resourcev1.SchemeGroupVersion.WithKind("ResourceClaim"),
	reflect.TypeFor[*resourcev1.ResourceSlice]():         resourcev1.SchemeGroupVersion.WithKind("ResourceSlice"),
	reflect.TypeFor[*resourcev1.DeviceClass]():           resourcev1.SchemeGroupVersion.WithKind("DeviceClass"),
	reflect.TypeFor[*resourcev1.ResourceClaimTemplate](): resourcev1.SchemeGroupVersion.WithKind("ResourceClaimTemplate"),
	reflect.TypeFor[*resourcev1.DeviceTaintRule]():       resourcev1.SchemeGroupVersion.WithKind("DeviceTaintRule"),
	reflect.TypeFor[*schedulingv1beta1.PodGroup]():       schedulingv1beta1.SchemeGroupVersion.WithKind("PodGroup"),
	reflect.TypeFor[*schedulingv1alpha3.PodGroup]():      schedulingv1alpha3.SchemeGroupVersion.WithKind("PodGroup"),
}

// slim drops what nobody reads here from what the cache holds of an object; more may be nil.
func slim[T client.Object](more func(T)) toolscache.TransformFunc {
	return func(in any) (any, error) {
		if o, ok := in.(T); ok {
			o.SetManagedFields(nil)
			if a := o.GetAnnotations(); a[lastApplied] != "" {
				delete(a, lastApplied)
				o.SetAnnotations(a)
			}
			if more != nil {
				more(o)
			}
		}
		return in, nil
	}
}

// lastApplied is the annotation in which kubectl keeps a copy of a whole object.
const lastApplied = corev1.LastAppliedConfigAnnotation

func slimLease(l *coordinationv1.Lease) {
	l.Spec = coordinationv1.LeaseSpec{RenewTime: l.Spec.RenewTime, LeaseDurationSeconds: l.Spec.LeaseDurationSeconds}
	l.OwnerReferences = nil
}

// slimReplicaSet keeps how many replicas there are, and who drives them.
func slimReplicaSet(r *appsv1.ReplicaSet) {
	r.Spec = appsv1.ReplicaSetSpec{Replicas: r.Spec.Replicas}
	r.Status = appsv1.ReplicaSetStatus{Replicas: r.Status.Replicas, ReadyReplicas: r.Status.ReadyReplicas, AvailableReplicas: r.Status.AvailableReplicas}
	r.Labels, r.Annotations = nil, nil
	for i := range r.OwnerReferences {
		if o := &r.OwnerReferences[i]; o.Controller != nil && *o.Controller {
			r.OwnerReferences = []metav1.OwnerReference{*o}
			break
		}
	}
}

// Watch makes the informers of CachedObjects without waiting for them, so that a standby has read the cluster before it leads.
func Watch(ctx context.Context, informers cache.Informers, mapper meta.RESTMapper) error {
	for object := range CachedObjects(mapper) {
		if _, err := informers.GetInformer(ctx, object, cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("watch %T: %w", object, err)
		}
	}
	return nil
}
