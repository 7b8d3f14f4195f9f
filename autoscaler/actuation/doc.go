// Package actuation gives pods their sizes: it resizes them in place, or has them replaced where the policy allows that and
// every budget agrees, and says for each pod what came of it.
//
// The ladder of a step: the pod's resize subresource first; if the node can never carry it out, has had no room for it for a
// while, or the API does not allow it, then the pod is evicted, or its Deployment rolled out when it is the only replica. A
// pod is never taken away unless a dry run shows that the pod which replaces it would be admitted with the wanted size.
//
// What has to outlive this process is written where a successor finds it: an annotation of the resized pod tells when it was
// changed and from what, and missing pods count against budgets whoever removed them.
//
// The package imports api, decision, sizing and Kubernetes' client libraries; package workload and the autoscaler's
// composition import it, and drain imports how a Deployment is rolled out.
package actuation
