// Package horizontal decides how many replicas a workload should have.
//
// It is pure: signals, pods, a policy, a history and a time go in, a decision.Record comes out. It does no I/O, reads no clock and
// starts no goroutine. It imports the decision and api packages and Kubernetes' own types; the workload package calls it.
//
// The arithmetic is that of Kubernetes' HorizontalPodAutoscaler: the same treatment of unready and missing pods, the same
// tolerance per direction, the same stabilization windows and rate policies. testdata holds that controller's published
// cases as data. Two things differ on purpose:
//
//   - a policy without behavior gets the default behavior of autoscaling/v2, not the older path that may double the
//     replicas with every evaluation: evaluations here are a second apart, not fifteen;
//   - query values are floating point numbers rather than thousandths, so that targets below 0.001 work.
package horizontal
