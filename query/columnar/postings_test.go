package columnar

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

// TestRegistryMatching compares the postings with a walk over all streams, while
// streams come and go so often that the postings are rebuilt.
func TestRegistryMatching(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	r := newRegistry(1 << 20)
	var held []*stream
	for round := range 30 {
		for range 300 {
			b := labels.NewBuilder(labels.EmptyLabels())
			b.Set("app", fmt.Sprint("app", random.IntN(20)))
			if random.IntN(3) > 0 {
				b.Set("pod", fmt.Sprint("pod", random.IntN(5000)))
			}
			held = append(held, r.hold(Logs, Tenant{Namespace: fmt.Sprint(random.IntN(3))}, b.Labels()))
		}
		for range 280 {
			i := random.IntN(len(held))
			r.release(held[i])
			held[i] = held[len(held)-1]
			held = held[:len(held)-1]
		}
		for range 20 {
			var ms []*labels.Matcher
			for range random.IntN(3) {
				kind := labels.MatchType(random.IntN(4))
				name := []string{"app", "pod", "absent"}[random.IntN(3)]
				value := []string{"", "app1", "app7", "pod12", "app1|app2", "app1|app1", "pod1.*", ".+", ".*", "app[0-4]|", "pod(7|8)"}[random.IntN(11)]
				ms = append(ms, labels.MustNewMatcher(kind, name, value))
			}
			var tenants []Tenant
			if random.IntN(3) == 0 {
				tenants = []Tenant{{Namespace: "1"}}
			}
			want := map[*stream]bool{}
			for _, s := range held {
				if matchesTenant(s.tenant, tenants) && matchesLabels(s.labels, ms) {
					want[s] = true
				}
			}
			got := r.matching(Logs, tenants, ms)
			require.Len(t, got, len(want), "round %d: %v", round, ms)
			for _, s := range got {
				require.True(t, want[s], "round %d: %v", round, ms)
			}
			require.True(t, slices.IsSortedFunc(got, func(a, b *stream) int { return int(a.slot) - int(b.slot) }))
			require.Empty(t, r.matching(Spans, tenants, ms))
		}
	}
}

// BenchmarkMatching finds one stream among 100,000. Walking all of them took 6 ms.
func BenchmarkMatching(b *testing.B) {
	r := newRegistry(2 << 20)
	for i := range 100_000 {
		r.hold(Logs, Tenant{}, labels.FromStrings("app", fmt.Sprint("app", i%100), "namespace", "ts", "pod", fmt.Sprint("pod", i)))
	}
	for _, m := range []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, "pod", "pod777"),
		labels.MustNewMatcher(labels.MatchRegexp, "pod", "pod777|pod888"),
		labels.MustNewMatcher(labels.MatchRegexp, "app", "app7.*"),
	} {
		b.Run(m.String(), func(b *testing.B) {
			for b.Loop() {
				if len(r.matching(Logs, nil, []*labels.Matcher{m})) == 0 {
					b.Fatal("no stream")
				}
			}
		})
	}
}
