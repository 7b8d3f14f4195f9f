package consolidation_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/consolidation"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

// ours carries out what Decide says.
func ours() consolidator { return oursWith(consolidation.DefaultConfig()) }

func oursWith(config consolidation.Config) consolidator {
	memory := consolidation.NewMemory()
	seen := map[string]bool{}
	return func(d *day) {
		in := consolidation.Input{
			World:   disruption.World{Now: d.now, Policies: []*v1alpha1.NodePolicy{d.policy}},
			Planner: d.state, Candidates: d.candidates(), Memory: memory, Config: config, Pending: len(d.pending),
		}
		for _, m := range d.machines {
			if m.grown && m.node.Expected {
				in.Growing = []string{"general"}
			}
			if !m.grown && !seen[m.name] {
				seen[m.name] = true
				memory.Bought(m.name, d.now)
			}
		}
		start := time.Now()
		decision := consolidation.Decide(in)
		d.account.planning += time.Since(start)
		d.account.slowest = max(d.account.slowest, time.Since(start))
		d.account.decisions++
		d.account.simulations += decision.Simulations
		if wrong := broken(in, decision); wrong != "" {
			d.t.Fatalf("at %s: %s", d.now.Format(time.TimeOnly), wrong)
		}
		d.check = func(node string) bool {
			var others []string
			for _, m := range d.machines {
				if m.node.Leaving && m.name != node {
					others = append(others, m.name)
				}
			}
			holds, why := consolidation.Check(d.state, []string{node}, others, func(name string) bool { return !d.machines[name].node.Expected && !d.machines[name].node.Leaving })
			if !holds {
				memory.Failed(disruption.Move{Remove: []string{node}}, why, config, d.now)
			}
			return holds
		}
		for _, m := range decision.Moves {
			memory.Began(m, d.now)
			d.carryOut(m.Remove, m.Create)
		}
	}
}

func (a account) String() string {
	return fmt.Sprintf("cost %.2f (%.3f of the bound %.2f), %d evictions (%d without room at once), %d nodes removed, %d replaced, %d rolled back after %d evictions, %d bought, %d like for like, at most %d nodes and %d pods; %d decisions, %d simulations, %s planning, slowest %s",
		a.cost, a.cost/a.bound, a.bound, a.evictions, a.homeless, a.removed, a.replaced, a.rolledBack, a.wasted, a.bought, a.likeForLike, a.peakNodes, a.peakPods,
		a.decisions, a.simulations, a.planning.Round(time.Millisecond), a.slowest.Round(time.Millisecond))
}

var (
	daySeed      = flag.Uint64("day.seed", 1, "of the load of TestDay")
	dayWorkloads = flag.Int("day.workloads", 50, "of TestDay")
)

// TestDay lives the same day three times: with nobody who consolidates, with Decide, and with the yardstick. Figures go to the log.
func TestDay(t *testing.T) {
	t.Logf("seed %d", *daySeed)
	after := 5 * time.Minute
	run := func(c consolidator) account { return newDay(t, *daySeed, *dayWorkloads, after).live(c, *daySeed) }
	none := run(func(*day) {})
	t.Logf("nobody:    %s", none)
	we := run(ours())
	t.Logf("ours:      %s", we)
	they := run(karpenter{after}.consolidate)
	t.Logf("yardstick: %s", they)
	t.Logf("%.0f%% of its evictions for %.1f%% of its saving", 100*float64(we.evictions)/float64(they.evictions), 100*(none.cost-we.cost)/(none.cost-they.cost))
	if we.likeForLike > 0 {
		t.Errorf("%d nodes were swapped like for like", we.likeForLike)
	}
	if we.homeless > 0 {
		t.Errorf("%d pods were evicted without somewhere to go", we.homeless)
	}
	if saved, should := none.cost-we.cost, none.cost-they.cost; saved < 0.95*should {
		t.Errorf("%.2f saved, the yardstick saves %.2f", saved, should)
	}
	if 2*we.evictions > they.evictions {
		t.Errorf("%d evictions, the yardstick needs %d", we.evictions, they.evictions)
	}
	if we.cost > 1.15*we.bound {
		t.Errorf("%.3f of the lower bound", we.cost/we.bound)
	}
}
