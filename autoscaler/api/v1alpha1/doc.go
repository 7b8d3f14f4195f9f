// Package v1alpha1 is the schema of Yagura's custom resources in the API group yagura.dev.
//
// It holds types, their defaults and their deep copies, and nothing that acts on them. It imports only Kubernetes API
// machinery; every autoscaler package may import it. The CustomResourceDefinitions in deploy/crds and in the crd folder
// beside this file are generated from the markers here, by:
//
//	go tool controller-gen object paths=./autoscaler/api/...
//	go tool controller-gen crd paths=./autoscaler/api/... output:crd:dir=deploy/crds
//	go tool controller-gen crd paths=./autoscaler/api/... output:crd:dir=autoscaler/api/v1alpha1/crd
//
// A field exists only when the controller acts on it: a policy that is accepted is a policy that is followed. Whatever the
// API server can refuse (a minimum above the maximum, two signals in one objective, a target of zero) it refuses, so that the
// controller never has to guess what a resource meant.
//
// +kubebuilder:object:generate=true
// +groupName=yagura.dev
package v1alpha1
