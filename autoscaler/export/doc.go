// Package export writes the sizes that a WorkloadAutoscaler publishes in the forms in which manifests are kept: a strategic merge
// patch, a kustomize component, or Helm values. Whoever keeps manifests in a repository commits them there, and nothing in the
// cluster is edited.
//
// It is pure: a policy and a pod template in, text out. Equal sizes give equal text, also once the manifest has them. It imports api,
// sizing and Kubernetes' types; the command line imports it.
package export
