package upgrade_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/upgrade"
)

// BenchmarkDecide judges 5,000 nodes: all as they should be, and all of another version.
func BenchmarkDecide(b *testing.B) {
	for name, differ := range map[string]bool{"current": false, "all differ": true} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, 5000, "a", "b", "c")
			if differ {
				w.renew()
			}
			w.in.Policy.Spec.Upgrade.MaxSurge = ptr(intstr.FromString("1%"))
			b.ReportAllocs()
			for b.Loop() {
				if out := upgrade.Decide(w.in); len(out.Stays) != 5000 || (len(out.Moves) == 50) != differ {
					b.Fatalf("%d answers, %d moves", len(out.Stays), len(out.Moves))
				}
			}
		})
	}
}
