package usage

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/signal"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

func TestPodNames(t *testing.T) {
	long := "a-very-long-name-of-a-deployment-that-leaves-little-room-for-more"
	for _, test := range []struct {
		kind, name, pod string
		ours            bool
	}{
		{"Deployment", "web", "web-7d4b9c6f5-x2lqz", true},
		{"Deployment", "web", "web-api-7d4b9c6f5-x2lqz", false},
		{"Deployment", "web", "web-7d4b9c6f5-x2lqz-x2lqz", false},
		{"Deployment", "web", "web-0", false},
		{"Deployment", "w.b", "web-7d4b9c6f5-x2lqz", false},
		{"Deployment", long, long[:52] + "-7d4b9-x2lqz", true},
		{"StatefulSet", "db", "db-0", true},
		{"StatefulSet", "db", "db-17", true},
		{"StatefulSet", "db", "db-x2lqz", false},
		{"DaemonSet", "agent", "agent-x2lqz", true},
		{"DaemonSet", "agent", "agent-0", false},
		{"Job", "load", "load-x2lqz", true},
		{"Job", "load", "load-3-x2lqz", true},
		{"CronJob", "report", "report-29123456-x2lqz", true},
		{"CronJob", "report", "report-29123456-3-x2lqz", true},
		{"CronJob", "report", "report-x2lqz", false},
		{"Rollout", "web", "web-7d4b9c6f5-x2lqz", true},
		{"Rollout", "web", "web-1", true},
		{"Rollout", "web", "web-api-7d4b9c6f5-x2lqz", false},
	} {
		t.Run(test.kind+" "+test.pod, func(t *testing.T) {
			assert.Equal(t, test.ours, regexp.MustCompile("^(?:"+podNames(test.kind, test.name)+")$").MatchString(test.pod))
		})
	}
}

func members(cpu ...float64) []member {
	all := make([]member, len(cpu))
	for i, v := range cpu {
		all[i] = member{pod: fmt.Sprintf("db-%d", i), cpu: v, memory: 100 << 20}
	}
	return all
}

func TestDivide(t *testing.T) {
	labelled := members(2, 0.5, 0.5)
	for i := range labelled {
		labelled[i].labels = map[string]string{"role": "replica", "apps.kubernetes.io/pod-index": fmt.Sprint(i), "app": "db"}
	}
	labelled[0].labels["role"] = "primary"
	memory := members(1, 1, 1)
	memory[2].memory = 900 << 20
	random := rand.New(rand.NewPCG(1, 2))
	alike := make([]float64, 200)
	for i := range alike {
		alike[i] = math.Exp(random.NormFloat64() * 0.5)
	}
	for _, test := range []struct {
		name    string
		members []member
		heavy   []string // empty when they behave alike
		role    string
	}{
		{"one pod", members(1), nil, ""},
		{"a leader", members(2, 0.5, 0.6), []string{"db-0"}, heavyRole},
		{"a leader with a label", labelled, []string{"db-0"}, "primary"},
		{"memory", memory, []string{"db-2"}, heavyRole},
		{"not twice as much", members(1.9, 1, 1), nil, ""},
		{"idle pods", members(0.02, 0.001, 0.001), nil, ""},
		{"many pods spread without a step", members(alike...), nil, ""},
		{"pods that are not known yet", members(2, math.NaN(), math.NaN()), nil, ""},
		{"two of four", members(3, 1, 3.2, 1.1), []string{"db-0", "db-2"}, heavyRole},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, ok := divide(test.members, 2)
			require.Equal(t, len(test.heavy) > 0, ok, d.reason)
			var heavy []string
			for pod, role := range d.roles {
				if role == d.heavy {
					heavy = append(heavy, pod)
				}
			}
			slices.Sort(heavy)
			assert.Equal(t, test.heavy, heavy)
			if ok {
				assert.Equal(t, test.role, d.heavy)
				assert.Contains(t, d.reason, d.heavy)
			}
		})
	}
}

func TestRolesChangeOnlyWhenItLasts(t *testing.T) {
	var s roleState
	const hold = 15 * time.Minute
	now := time.Unix(0, 0)
	step := func(after time.Duration, m []member) bool {
		now = now.Add(after)
		return s.update(now, m, 2, hold, false)
	}
	apart, alike, between := members(2, 0.5, 0.5), members(0.6, 0.5, 0.5), members(0.85, 0.5, 0.5)
	assert.False(t, step(0, apart))
	assert.Equal(t, sizing.DefaultRole, s.of("db-0", nil))
	assert.False(t, step(10*time.Minute, alike), "a short burst")
	assert.False(t, step(time.Minute, apart))
	assert.False(t, step(14*time.Minute, apart))
	assert.True(t, step(time.Minute, apart))
	assert.Equal(t, heavyRole, s.of("db-0", nil))
	assert.Equal(t, lightRole, s.of("db-1", nil))
	assert.Equal(t, heavyRole, s.of("db-9", nil), "better too much than too little")
	assert.Equal(t, []string{heavyRole, lightRole}, s.names())
	// Between the thresholds nothing changes, in either direction.
	assert.False(t, step(time.Hour, between))
	assert.False(t, step(time.Hour, between))
	assert.True(t, s.divided)
	// The leader moves.
	moved := members(0.5, 2, 0.5)
	assert.False(t, step(time.Minute, moved))
	assert.True(t, step(hold, moved))
	assert.Equal(t, heavyRole, s.of("db-1", nil))
	assert.False(t, step(time.Minute, alike))
	assert.True(t, step(hold, alike))
	assert.False(t, s.divided)
	assert.Empty(t, s.reason())
	// After a restart, roles that were there before need not prove themselves.
	s = roleState{}
	assert.True(t, s.update(now, apart, 2, hold, true))
}

func TestHeapOf(t *testing.T) {
	env := func(pairs ...string) (list []corev1.EnvVar) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, corev1.EnvVar{Name: pairs[i], Value: pairs[i+1]})
		}
		return list
	}
	const mib = 1 << 20
	for _, test := range []struct {
		name      string
		container corev1.Container
		want      sizing.Heap // but for the evidence
	}{
		{"nothing", corev1.Container{Command: []string{"/bin/app", "-Xm", "--size=1"}}, sizing.Heap{}},
		{"java without flags", corev1.Container{Command: []string{"/opt/java/bin/java", "-jar", "app.jar"}},
			sizing.Heap{Runtime: v1alpha1.RuntimeJVM, FromContainer: true, Fraction: 0.25, Variable: javaToolOptions}},
		{"-Xmx", corev1.Container{Args: []string{"java", "-Xms64m", "-Xmx512m"}},
			sizing.Heap{Runtime: v1alpha1.RuntimeJVM, Max: 512 * mib, Variable: javaToolOptions}},
		{"the last one wins", corev1.Container{Command: []string{"sh", "-c", "exec java -Xmx1g -Xmx2G -jar a.jar"}, Env: env("JAVA_TOOL_OPTIONS", "-Xmx8g")},
			sizing.Heap{Runtime: v1alpha1.RuntimeJVM, Max: 2048 * mib, Variable: javaToolOptions, Value: "-Xmx8g"}},
		{"MaxRAMPercentage", corev1.Container{Env: env("JAVA_OPTS", "-XX:+UseG1GC -XX:MaxRAMPercentage=75.0")},
			sizing.Heap{Runtime: v1alpha1.RuntimeJVM, FromContainer: true, Fraction: 0.75, Variable: javaToolOptions}},
		{"a size wins over a percentage", corev1.Container{Env: env("JAVA_TOOL_OPTIONS", "-Xmx100m -XX:MaxRAMPercentage=75.0")},
			sizing.Heap{Runtime: v1alpha1.RuntimeJVM, Max: 100 * mib, Variable: javaToolOptions, Value: "-Xmx100m -XX:MaxRAMPercentage=75.0"}},
		{"GOMEMLIMIT", corev1.Container{Env: env("GOMEMLIMIT", "750MiB")},
			sizing.Heap{Runtime: v1alpha1.RuntimeGo, Max: 750 * mib, Variable: goMemLimit, Value: "750MiB"}},
		{"GOMEMLIMIT off", corev1.Container{Env: env("GOMEMLIMIT", "off")},
			sizing.Heap{Runtime: v1alpha1.RuntimeGo, Variable: goMemLimit, Value: "off"}},
		{"GOGC", corev1.Container{Env: env("GOGC", "50")}, sizing.Heap{Runtime: v1alpha1.RuntimeGo, Variable: goMemLimit}},
		{"NODE_OPTIONS", corev1.Container{Env: env("NODE_OPTIONS", "--inspect --max-old-space-size=1536")},
			sizing.Heap{Runtime: v1alpha1.RuntimeNode, Max: 1536 * mib, Variable: nodeOptions, Value: "--inspect --max-old-space-size=1536"}},
		{"node with a flag of two arguments", corev1.Container{Command: []string{"node", "--max_old_space_size", "256", "app.js"}},
			sizing.Heap{Runtime: v1alpha1.RuntimeNode, Max: 256 * mib, Variable: nodeOptions}},
		{"a value that is not in the manifest", corev1.Container{Env: []corev1.EnvVar{{Name: "GOMEMLIMIT", ValueFrom: &corev1.EnvVarSource{}}}}, sizing.Heap{}},
		{"a size that is none", corev1.Container{Command: []string{"java", "-Xmx12q"}},
			sizing.Heap{Runtime: v1alpha1.RuntimeJVM, FromContainer: true, Fraction: 0.25, Variable: javaToolOptions}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, ok := heapOf(&test.container)
			assert.Equal(t, test.want.Runtime != "", ok)
			assert.Equal(t, ok, h.Evidence != "")
			if ok {
				h.Evidence = ""
				assert.Equal(t, test.want, h)
			}
		})
	}
}

func FuzzHeapOf(f *testing.F) {
	f.Add("java", "-Xmx512m -XX:MaxRAMPercentage=75", "750MiB", "--max-old-space-size=99999999999999")
	f.Add("node", "--max-old-space-size", "iB", "k")
	f.Fuzz(func(t *testing.T, command, args, goLimit, options string) {
		h, ok := heapOf(&corev1.Container{Command: []string{command}, Args: []string{args}, Env: []corev1.EnvVar{
			{Name: goMemLimit, Value: goLimit}, {Name: nodeOptions, Value: options}, {Name: javaToolOptions, Value: args}}})
		if ok && h.Evidence == "" || !(h.Max >= 0) || math.IsInf(h.Max, 0) || !(h.Fraction >= 0 && h.Fraction <= 1) {
			t.Fatalf("%+v", h)
		}
	})
}

func TestSettle(t *testing.T) {
	started := time.Unix(1000, 0)
	// Busy with 2 cores until a time, then some.
	shape := func(busy time.Duration, later float64, blip time.Duration) (points []signal.TimePoint) {
		for at := 5 * time.Second; at <= startSpan; at += time.Second {
			v := later
			if at < busy || blip > 0 && at >= blip && at < blip+5*time.Second {
				v = 2
			}
			points = append(points, signal.TimePoint{Time: started.Add(at).UnixMilli(), Value: v})
		}
		return points
	}
	for _, test := range []struct {
		name   string
		points []signal.TimePoint
		length time.Duration
		peak   float64
	}{
		{"half a minute", shape(30*time.Second, 0.1, 0), 30 * time.Second, 2},
		{"nothing special", shape(0, 0.1, 0), 5 * time.Second, 0.1},
		{"not settled yet after a quiet moment", shape(30*time.Second, 0.1, 40*time.Second), 45 * time.Second, 2},
		{"a burst much later", shape(30*time.Second, 0.1, 150*time.Second), 30 * time.Second, 2},
		{"busy for ever", shape(startSpan+time.Second, 2, 0), 5 * time.Second, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, ok := settle(started, test.points)
			require.True(t, ok)
			assert.Equal(t, test.length, s.length)
			assert.Equal(t, test.peak, s.peak)
		})
	}
	_, ok := settle(started, shape(30*time.Second, 0.1, 0)[:60])
	assert.False(t, ok, "it has not run for long enough")
}

func TestAccumulator(t *testing.T) {
	const interval, minute = 15 * time.Second, time.Minute
	begin := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	var a accumulator
	round := func(after time.Duration, values ...float64) (vertical.Sample, bool, span, time.Time) {
		for _, v := range values {
			a.now.add(v, v/10, 0)
		}
		return a.close(begin.Add(after), interval, minute)
	}
	sample, due, _, _ := round(0, 1, 3)
	require.True(t, due, "the first measurement is a sample at once")
	assert.Equal(t, vertical.Sample{Time: begin, Value: 3, Mean: 2, Throttled: 0.3}, sample)
	for i, v := range []float64{1, 5, 1} {
		_, due, _, _ = round(time.Duration(i+1)*interval, v)
		assert.False(t, due)
	}
	sample, due, _, _ = round(time.Minute, 1)
	require.True(t, due)
	assert.Equal(t, vertical.Sample{Time: begin.Add(time.Minute), Value: 5, Mean: 2, Throttled: 0.2}, roundOff(sample))
	// A gap is no usage, and the five minutes before it end with what was measured in them.
	_, due, five, slot := round(20 * time.Minute)
	assert.False(t, due)
	assert.Equal(t, begin.Add(aggregateStep), slot)
	assert.EqualValues(t, 5, five.count)
	assert.Equal(t, 5.0, five.sample().Value)
	_, _, five, _ = round(25 * time.Minute)
	assert.Zero(t, five.count)
	// The clock is set back: samples go on, and the models ignore those that are older than what they know.
	_, due, _, _ = round(26*time.Minute, 1)
	require.True(t, due)
	_, due, _, _ = round(-time.Hour, 1)
	assert.True(t, due)
}

func roundOff(s vertical.Sample) vertical.Sample {
	s.Throttled = math.Round(s.Throttled*1e9) / 1e9
	return s
}

func TestConfig(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	for field, change := range map[string]func(*Config){
		"interval": func(c *Config) { c.Interval = 0 }, "sampleInterval": func(c *Config) { c.SampleInterval = 1 },
		"staleAfter": func(c *Config) { c.StaleAfter = 0 }, "oomInterval": func(c *Config) { c.OOMInterval = -1 },
		"heapInterval": func(c *Config) { c.HeapInterval = 0 }, "batchPods": func(c *Config) { c.BatchPods = 0 },
		"queryTimeout": func(c *Config) { c.QueryTimeout = 0 }, "concurrency": func(c *Config) { c.Concurrency = 0 },
		"rawSamples": func(c *Config) { c.RawSamples = -1 }, "maxContainers": func(c *Config) { c.MaxContainers = 0 },
		"roleRatio": func(c *Config) { c.RoleRatio = math.NaN() }, "roleHold": func(c *Config) { c.RoleHold = -1 },
	} {
		c := DefaultConfig()
		change(&c)
		assert.ErrorContains(t, c.Validate(), field)
	}
}
