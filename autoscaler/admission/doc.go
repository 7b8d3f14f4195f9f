// Package admission gives pods their sizes while they are created: a mutating webhook that the API server calls before it stores a pod.
//
// Every replica of the autoscaler serves it, leader or not, from what stands in the status of the WorkloadAutoscalers in its cache; a
// review asks nobody anything. It never refuses a pod. When it is away, slow or in doubt, the pod is created as its manifest says
// (failurePolicy Ignore), and that is counted by reason.
//
// Its certificates are its own. An authority and a serving certificate are kept in one Secret that all replicas share; whoever finds
// them missing or old makes new ones, and the Secret's resource version decides between two who do so at once. The leader tells the
// API server whom to trust, in the MutatingWebhookConfiguration that it applies. See keyring for how both are renewed without a
// moment in which the API server distrusts what is served.
//
// The package imports api, sizing and Kubernetes' libraries; the autoscaler's composition imports it.
package admission
