package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of every resource of Yagura.
const GroupName = "yagura.dev"

// GroupVersion returns the group and version of this package's resources.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}
}

// The kinds of this package.
const (
	WorkloadAutoscalerKind = "WorkloadAutoscaler"
	NodePolicyKind         = "NodePolicy"
	NodeClaimKind          = "NodeClaim"
)

// AddToScheme makes the resources of this package known to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion(), &WorkloadAutoscaler{}, &WorkloadAutoscalerList{},
		&NodePolicy{}, &NodePolicyList{}, &NodeClaim{}, &NodeClaimList{})
	metav1.AddToGroupVersion(scheme, GroupVersion())
	return nil
}
