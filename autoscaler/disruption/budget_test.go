package disruption_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

func policyWith(budgets ...v1alpha1.DisruptionBudget) *v1alpha1.NodePolicy {
	p := &v1alpha1.NodePolicy{}
	p.Name = "general"
	p.Spec.Disruption.Budgets = budgets
	return p
}

func share(nodes string, reasons ...v1alpha1.DisruptionReason) v1alpha1.DisruptionBudget {
	return v1alpha1.DisruptionBudget{Nodes: intstr.Parse(nodes), Reasons: reasons}
}

func scheduled(nodes, schedule, zone string, duration time.Duration) v1alpha1.DisruptionBudget {
	b := share(nodes)
	b.Schedule, b.Timezone, b.Duration = schedule, zone, &metav1.Duration{Duration: duration}
	return b
}

func TestAllowed(t *testing.T) {
	monday := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		budgets          []v1alpha1.DisruptionBudget
		nodes, disrupted int
		now              time.Time
		want             int
		why              string
	}{
		"ten percent without budgets":           {nil, 100, 0, monday, 10, "the default budget of 10%"},
		"percentages are rounded up":            {nil, 3, 0, monday, 1, "allows 1 of 3"},
		"nothing of nothing":                    {nil, 0, 0, monday, 0, ""},
		"what is disrupted counts":              {nil, 100, 7, monday, 3, "7 are disrupted"},
		"more disrupted than allowed":           {nil, 100, 70, monday, 0, ""},
		"the smallest counts":                   {[]v1alpha1.DisruptionBudget{share("50%"), share("3"), share("20%")}, 100, 0, monday, 3, "budget of 3 allows"},
		"zero forbids":                          {[]v1alpha1.DisruptionBudget{share("0")}, 100, 0, monday, 0, "budget of 0"},
		"another reason's budget":               {[]v1alpha1.DisruptionBudget{share("0", v1alpha1.DisruptDrifted)}, 100, 40, monday, 60, "no budget applies"},
		"this reason's budget":                  {[]v1alpha1.DisruptionBudget{share("0", v1alpha1.DisruptDrifted, v1alpha1.DisruptEmpty)}, 100, 0, monday, 0, ""},
		"on schedule":                           {[]v1alpha1.DisruptionBudget{share("30%"), scheduled("0", "0 9 * * 1-5", "", 8*time.Hour)}, 10, 0, monday, 0, `schedule "0 9 * * 1-5"`},
		"the moment at which it begins":         {[]v1alpha1.DisruptionBudget{share("30%"), scheduled("0", "0 12 * * *", "", time.Hour)}, 10, 0, monday, 0, ""},
		"the moment before it begins":           {[]v1alpha1.DisruptionBudget{share("30%"), scheduled("0", "0 12 * * *", "", time.Hour)}, 10, 0, monday.Add(-time.Nanosecond), 3, ""},
		"the moment at which it ends":           {[]v1alpha1.DisruptionBudget{share("30%"), scheduled("0", "0 11 * * *", "", time.Hour)}, 10, 0, monday, 3, ""},
		"another weekday":                       {[]v1alpha1.DisruptionBudget{share("30%"), scheduled("0", "0 9 * * 2", "", 8*time.Hour)}, 10, 0, monday, 3, ""},
		"over midnight":                         {[]v1alpha1.DisruptionBudget{share("30%"), scheduled("0", "0 22 * * *", "", 15*time.Hour)}, 10, 0, monday, 0, ""},
		"noon in UTC is nine at night in Tokyo": {[]v1alpha1.DisruptionBudget{share("30%"), scheduled("0", "0 21 * * *", "Asia/Tokyo", time.Minute)}, 10, 0, monday, 0, ""},
		"longer than its period is always":      {[]v1alpha1.DisruptionBudget{scheduled("1", "0 0 * * *", "", 48*time.Hour)}, 10, 0, monday, 1, ""},
		"a day that never comes":                {[]v1alpha1.DisruptionBudget{share("30%"), scheduled("0", "0 0 30 2 *", "", time.Hour)}, 10, 0, monday, 3, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, why, err := disruption.Allowed(policyWith(test.budgets...), v1alpha1.DisruptEmpty, test.nodes, test.disrupted, test.now)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want || !strings.Contains(why, test.why) {
				t.Errorf("%d because %s, want %d because of %q", got, why, test.want, test.why)
			}
		})
	}
}

func TestABudgetThatCannotBeReadAllowsNothing(t *testing.T) {
	for _, b := range []v1alpha1.DisruptionBudget{
		scheduled("50%", "@daily", "", time.Hour),
		scheduled("50%", "0 9 * *", "", time.Hour),
		scheduled("50%", "TZ=UTC 0 9 * *", "", time.Hour),
		scheduled("50%", "0 25 * * *", "", time.Hour),
		scheduled("50%", "0 9 * * *", "Mars/Olympus", time.Hour),
		scheduled("50%", "0 9 * * *", "", 0),
		{Nodes: intstr.FromInt32(1), Schedule: "0 9 * * *"},
		share("many"),
	} {
		got, _, err := disruption.Allowed(policyWith(b), v1alpha1.DisruptEmpty, 100, 0, time.Unix(0, 0))
		if err == nil || got != 0 {
			t.Errorf("%+v: %d allowed, error %v", b, got, err)
		}
	}
}

func TestInWindow(t *testing.T) {
	night := v1alpha1.Window{Schedule: "0 22 * * *", Timezone: "Europe/Berlin", Duration: metav1.Duration{Duration: 6 * time.Hour}}
	sunday := v1alpha1.Window{Schedule: "0 8 * * 0", Duration: metav1.Duration{Duration: time.Hour}}
	for name, test := range map[string]struct {
		windows []v1alpha1.Window
		now     string
		open    bool
		why     string
	}{
		"always without windows":        {nil, "2026-11-23T12:00:00Z", true, "no windows"},
		"open":                          {[]v1alpha1.Window{night}, "2026-11-23T23:30:00+01:00", true, `"0 22 * * *" is open`},
		"closed, with the next opening": {[]v1alpha1.Window{night, sunday}, "2026-11-23T12:00:00Z", false, "opens at 2026-11-23T22:00:00+01:00"},
		"any of several":                {[]v1alpha1.Window{night, sunday}, "2026-11-22T08:59:59Z", true, `"0 8 * * 0"`},
		"the end does not belong":       {[]v1alpha1.Window{sunday}, "2026-11-22T09:00:00Z", false, ""},
		"the clock is put forward":      {[]v1alpha1.Window{night}, "2026-03-29T03:30:00+02:00", true, ""},
		"and six hours are six hours":   {[]v1alpha1.Window{night}, "2026-03-29T05:00:00+02:00", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			now, err := time.Parse(time.RFC3339, test.now)
			if err != nil {
				t.Fatal(err)
			}
			open, why, err := disruption.InWindow(test.windows, now)
			if err != nil || open != test.open || !strings.Contains(why, test.why) {
				t.Errorf("open %v because %s, error %v", open, why, err)
			}
		})
	}
	if open, _, err := disruption.InWindow([]v1alpha1.Window{{Schedule: "* * * *"}}, time.Unix(0, 0)); open || err == nil {
		t.Errorf("a window that cannot be read is open: %v, error %v", open, err)
	}
}

func TestCount(t *testing.T) {
	node := func(name, policy string, change func(*disruption.Candidate)) disruption.Candidate {
		c := disruption.Candidate{Ready: true}
		c.NodeView.Node = cluster.Node{Node: &corev1.Node{}, Policy: policy}
		c.NodeView.Node.Node.Name = name
		if change != nil {
			change(&c)
		}
		return c
	}
	nodes := []disruption.Candidate{
		node("a", "general", nil),
		node("b", "general", func(c *disruption.Candidate) { c.Ready = false }),
		node("c", "general", func(c *disruption.Candidate) { c.Leaving = true }),
		node("d", "general", nil),
		node("e", "general", func(c *disruption.Candidate) { c.Expected = true }),
		node("f", "other", func(c *disruption.Candidate) { c.Ready = false }),
	}
	world := disruption.World{Disrupted: map[string][]string{"general": {"d", "c"}}}
	if total, disrupted := disruption.Count("general", nodes, world); total != 4 || disrupted != 3 {
		t.Errorf("%d of %d disrupted, want 3 of 4", disrupted, total)
	}
}

func FuzzSchedule(f *testing.F) {
	f.Add("0 9 * * 1-5", "Asia/Tokyo", int64(time.Hour), int64(0))
	f.Add("*/5 0-23/2 1,15 jan sun", "", int64(time.Minute), int64(1_800_000_000))
	f.Add("TZ=0 0 0 0 0", "UTC", int64(-1), int64(-1))
	f.Add("59 23 29 2 *", "America/St_Johns", int64(1), int64(1_709_251_199))
	f.Fuzz(func(t *testing.T, text, zone string, duration, at int64) {
		now := time.Unix(at%4_000_000_000, 0)
		window := v1alpha1.Window{Schedule: text, Timezone: zone, Duration: metav1.Duration{Duration: time.Duration(duration)}}
		open, _, err := disruption.InWindow([]v1alpha1.Window{window}, now)
		if err != nil && open {
			t.Fatalf("%q cannot be read and is open", text)
		}
		b := v1alpha1.DisruptionBudget{Nodes: intstr.FromInt32(0), Schedule: text, Timezone: zone, Duration: &window.Duration}
		allowed, _, other := disruption.Allowed(policyWith(b), v1alpha1.DisruptEmpty, 5, 0, now)
		if text != "" && (other != nil) != (err != nil) {
			t.Fatalf("a window says %v, a budget %v", err, other)
		}
		if text != "" && err == nil && open != (allowed == 0) {
			t.Fatalf("the window is open: %v, the budget allows %d", open, allowed)
		}
	})
}
