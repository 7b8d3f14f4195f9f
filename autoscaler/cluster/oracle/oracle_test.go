package oracle

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// Outcomes of a case.
const (
	agrees     = "agrees"
	packsOther = "the scheduler packs otherwise, and planning once more ends it"
	cornered   = "the scheduler packs otherwise, and leaves a pod for which no offer has a place any more"
	atLimit    = "the scheduler packs otherwise, and what remains of the limit does not do for the pods that it leaves"
	byEviction = "the scheduler evicts pods of lower priority for a pod that no free room would do for"
	otherRoom  = "the scheduler packs otherwise, and room is left on a node that there is for a pod that had none"
	// A volume that pods share counts once for each of them in a plan. Where more may be bought that costs a node at worst.
	sharedVolume = "the scheduler binds a pod beside another one with the same volume, on a node that the plan holds for full of volumes"
	// Which pods share what a limit allows is decided node by node, and a node may have room left for a pod that was given up before.
	together    = "pods that are called unschedulable would go on several further nodes, which the limit does not allow together"
	refused     = "DEVIATION: the scheduler refuses a pod on its planned node"
	schedulable = "DEVIATION: the scheduler binds a pod that is called unschedulable"
	endless     = "DEVIATION: planning once more does not end it"
	exceeds     = "DEVIATION: the plan exceeds a limit"
	partial     = "DEVIATION: the plan has places for some of a gang, and for fewer than it needs"
	gangFits    = "DEVIATION: the scheduler binds all that a gang needs, which was called unschedulable"
)

// verdict is what became of a case.
type verdict struct {
	outcome, detail string
	// extra is what planning once more has cost, as a share of the first plan.
	extra float64
}

func (v *verdict) deviates() bool { return strings.HasPrefix(v.outcome, "DEVIATION") }

// TestPlansAgainstScheduler runs YAGURA_ORACLE_CASES cases (default 200) from seed YAGURA_ORACLE_SEED (default 1).
func TestPlansAgainstScheduler(t *testing.T) {
	ctx := t.Context()
	l := newLab(ctx, t)
	count, first := number(t, "YAGURA_ORACLE_CASES", 200), uint64(number(t, "YAGURA_ORACLE_SEED", 1))
	t.Logf("%d cases from seed %d: YAGURA_ORACLE_SEED=%d YAGURA_ORACLE_CASES=1 repeats the first", count, first, first)
	outcomes, features := map[string]int{}, map[string]int{}
	var extra, pods float64
	started := time.Now()
	for i := range uint64(count) {
		began := time.Now()
		c, v := l.judge(ctx, t, first+i)
		if os.Getenv("YAGURA_ORACLE_TRACE") != "" {
			t.Logf("seed %d: %s in %s\n%s", c.Seed, v.outcome, time.Since(began).Round(time.Millisecond), v.detail)
		}
		outcomes[v.outcome]++
		extra += v.extra
		pods += float64(len(c.Pending))
		for f := range c.Features {
			features[f]++
		}
		if v.deviates() {
			t.Errorf("seed %d: %s\n%s\nThe case is in %s", c.Seed, v.outcome, v.detail, dump(t, c))
		}
	}
	t.Logf("%d cases, %.0f pending pods in %s", count, pods, time.Since(started).Round(time.Second))
	for _, o := range sortedFeatures(outcomes) {
		t.Logf("%5d  %s", outcomes[o], o)
	}
	if n := outcomes[packsOther]; n > 0 {
		t.Logf("       which cost %.1f%% more than the first plan on average over these", extra/float64(n)*100)
	}
	for _, f := range sortedFeatures(features) {
		t.Logf("%5d  cases with %s", features[f], f)
	}
}

// judge runs the case of a seed. One that deviates is run again from the start: what the planner does is the same each time, and what
// the scheduler does while a machine is busy is not.
func (l *lab) judge(ctx context.Context, t *testing.T, seed uint64) (*Case, verdict) {
	t.Helper()
	for again := false; ; again = true {
		c := Generate(seed)
		v, err := l.run(ctx, c)
		if err != nil {
			dump(t, c)
			require.NoError(t, err, "seed %d", seed)
		}
		l.clean(ctx, t)
		if again || !v.deviates() {
			return c, v
		}
		t.Logf("seed %d, which is run once more: %s\n%s", seed, v.outcome, v.detail)
	}
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

// dump writes a case down.
func dump(t *testing.T, c *Case) string {
	t.Helper()
	text, err := yaml.Marshal(c)
	require.NoError(t, err)
	path := filepath.Join(os.TempDir(), fmt.Sprintf("yagura-oracle-%d.yaml", c.Seed))
	require.NoError(t, os.WriteFile(path, text, 0o644))
	return path
}
