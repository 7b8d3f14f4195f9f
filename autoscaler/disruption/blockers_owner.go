package disruption

// job pods lose their work when they are evicted, and end by themselves. Consent lifts it.
func job(s *subject) (PodVerdict, bool) {
	if s.owner != nil && s.owner.Kind == "Job" {
		return blocksNow("Job", "belongs to the Job %s and would lose its work", s.owner.Name)
	}
	return PodVerdict{}, false
}

// controlled pods come back; a pod that nobody controls is gone once it is evicted.
func controlled(s *subject) (PodVerdict, bool) {
	if s.owner == nil {
		return blocks("NoController", "has no controller that would make another one")
	}
	return PodVerdict{}, false
}

// lastReplica does not keep the node. The workload would be without a ready pod between the eviction and its successor's readiness, so
// a second one is made first, which costs more.
func lastReplica(s *subject) (PodVerdict, bool) {
	if s.owner == nil || s.world.replicas(string(s.owner.UID)) != 1 {
		return PodVerdict{}, false
	}
	v := PodVerdict{Fate: Moves, Code: "LastReplica", Message: "is the only ready replica of " + s.owner.Kind + " " + s.owner.Name, Surge: true}
	v.Outage = s.owner.Kind == "StatefulSet"
	return v, true
}
