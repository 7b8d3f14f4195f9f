package upgrade

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/version"
)

// skew is how many minor versions a kubelet may be older than the API server (the Kubernetes version skew policy). Newer it may never be.
const skew = 3

// hold is why no node of the policy is renewed right now. Nil means that nothing stops it.
type hold struct{ code, message string }

func holds(code, format string, args ...any) *hold { return &hold{code, fmt.Sprintf(format, args...)} }

// controlPlane says which version the control plane is to be brought to now, and why nodes wait for it.
func (d *deciding) controlPlane() (*ControlPlaneStep, *hold) {
	text := d.template.Version
	if text == "" {
		return nil, nil
	}
	target, err := version.ParseSemantic(text)
	if err != nil {
		return nil, holds("InvalidVersion", "the template's version %q cannot be read", text)
	}
	api := d.in.APIServer
	if c := d.in.ControlPlane; c != nil && d.spec.ControlPlane {
		if step, h := d.raise(c, target); step != nil || h != nil {
			return step, h
		}
		if api == "" {
			api = c.Running
		}
	}
	return nil, skewed(api, target)
}

// raise brings the control plane one minor version nearer to the target, or to the target itself within the same or the next one.
func (d *deciding) raise(c *ControlPlane, target *version.Version) (*ControlPlaneStep, *hold) {
	if c.Unknown != "" {
		return nil, holds("ControlPlaneUnknown", "the control plane's version is not known: %s", c.Unknown)
	}
	running, err := version.ParseSemantic(c.Running)
	if err != nil {
		return nil, holds("ControlPlaneUnknown", "the control plane's version %q cannot be read", c.Running)
	}
	if wanted, err := version.ParseSemantic(c.Wanted); err == nil && running.LessThan(wanted) {
		return nil, holds("ControlPlaneFirst", "the control plane is on its way from v%s to v%s", running, wanted)
	}
	if !running.LessThan(target) {
		return nil, nil
	}
	next := target
	if target.Major() == running.Major() && target.Minor() > running.Minor()+1 {
		if next, err = version.ParseSemantic(fmt.Sprintf("v%d.%d.0", running.Major(), running.Minor()+1)); err != nil {
			return nil, holds("ControlPlaneUnknown", "the version after v%s cannot be named: %v", running, err)
		}
	}
	if node, oldest := d.oldestKubelet(); oldest != nil && behind(oldest, next) > skew {
		return nil, holds("KubeletTooOld", "the control plane cannot go to v%s before node %s has left v%s: a kubelet may be %d minor versions older at most",
			next, node, oldest, skew)
	}
	return &ControlPlaneStep{Version: "v" + next.String(), Code: "ControlPlane",
			Message: fmt.Sprintf("the control plane goes from v%s to v%s before any node, one minor version at a time", running, next)},
		holds("ControlPlaneFirst", "the control plane goes from v%s to v%s first", running, next)
}

// skewed says why nodes of a version would not get along with the API server.
func skewed(api string, target *version.Version) *hold {
	running, err := version.ParseSemantic(api)
	if err != nil {
		return holds("APIServerUnknown", "the API server's version is not known, and a kubelet must not be newer")
	}
	switch n := behind(target, running); {
	case n < 0:
		return holds("APIServerTooOld", "the template asks for v%s, and a kubelet must not be newer than the API server, which is v%s", target, running)
	case n > skew:
		return holds("TemplateTooOld", "the template asks for v%s, more than %d minor versions behind the API server, which is v%s", target, skew, running)
	}
	return nil
}

// behind is how many minor versions a is older than b, negative when it is newer.
func behind(a, b *version.Version) int {
	if a.Major() != b.Major() {
		return (int(b.Major()) - int(a.Major())) * 1000
	}
	return int(b.Minor()) - int(a.Minor())
}

// oldestKubelet is the oldest one of the cluster, nil when none is known.
func (d *deciding) oldestKubelet() (string, *version.Version) {
	name, oldest := "", (*version.Version)(nil)
	for i := range d.in.Nodes {
		v, err := version.ParseSemantic(d.in.Nodes[i].kubelet())
		if err == nil && (oldest == nil || v.LessThan(oldest)) {
			name, oldest = d.in.Nodes[i].name(), v
		}
	}
	return name, oldest
}
