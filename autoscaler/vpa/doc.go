// Package vpa lives with VerticalPodAutoscaler objects that a cluster has.
//
// Recommender acts as a recommender by name for those that ask for it in spec.recommenders: it writes their status from what our
// models estimate, and somebody else's updater and webhook apply it. Owners says which workloads any VerticalPodAutoscaler
// applies sizes to, so that nobody else does. Migrate turns one, together with the HorizontalPodAutoscaler of the same target, into
// a policy of ours.
//
// The estimator of the VerticalPodAutoscaler is in package vertical/vpa. This package imports api, vertical and Kubernetes'
// libraries, of the VerticalPodAutoscaler its API types alone; the composition of the autoscaler and the command line import it.
package vpa
