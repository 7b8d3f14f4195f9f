// Package autoscaler puts the autoscaler's rooms together: it connects to a Kubernetes cluster, takes part in leader election and,
// while it leads, carries WorkloadAutoscalers out.
//
// A cluster that is not there yet is no error: Run keeps trying, says in State what it waits for, and starts over with the
// kubeconfig as it is then when the connection is lost for good. The package imports the rooms below it and Kubernetes' client
// libraries; commands import it.
package autoscaler
