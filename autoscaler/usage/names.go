package usage

import "github.com/grafana/regexp"

// suffix is what Kubernetes makes random parts of names of: letters and digits that can hardly form a word
// (k8s.io/apimachinery/pkg/util/rand). It tells web-7d4b9c6f5-x2lqz, a pod of web, from web-api-7d4b9c6f5-x2lqz, which is not.
const suffix = "[bcdfghjklmnpqrstvwxz2456789]"

// longestBase is the length of a name beyond which generated names leave out parts of it: 63 characters less a hash of ten, a random
// part of five and the hyphens between them.
const longestBase = 63 - 10 - 5 - 2

// podNames is a regular expression for the names of the pods that a workload has and had.
func podNames(kind, name string) string {
	quoted := regexp.QuoteMeta(name)
	if len(name) > longestBase {
		return regexp.QuoteMeta(name[:longestBase]) + ".+"
	}
	random := suffix + "{5}"
	hash := suffix + "{1,10}"
	switch kind {
	case "Deployment":
		return quoted + "-" + hash + "-" + random
	case "StatefulSet":
		return quoted + "-[0-9]+"
	case "DaemonSet", "ReplicaSet", "ReplicationController":
		return quoted + "-" + random
	case "Job":
		// Indexed jobs put the index before the random part.
		return quoted + "(-[0-9]+)?-" + random
	case "CronJob":
		// The job's name ends in the minute that it was scheduled for.
		return quoted + "-[0-9]+(-[0-9]+)?-" + random
	case "Pod":
		return quoted
	}
	// Other kinds make their pods themselves, or through one of the above.
	return quoted + "-([0-9]+|(" + hash + "-)?" + random + ")"
}
