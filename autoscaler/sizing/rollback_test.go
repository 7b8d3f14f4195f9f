package sizing

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// shrunk is a scene in which web's pods were just sized down to 100m and 300Mi.
func shrunk(t *testing.T) *scene {
	t.Helper()
	s := newScene().pods(2).fresh("web", corev1.ResourceMemory, 300*mi).fresh("web", corev1.ResourceCPU, 0.1)
	d := s.decide()
	require.Len(t, d.Steps, 2)
	carryOut(&s.in, d.Steps)
	s.in.Now = now.Add(2 * time.Minute)
	return s
}

func TestAHarmfulChangeIsTakenBack(t *testing.T) {
	tests := map[string]struct {
		kind    EffectKind
		want    string
		mention string
	}{
		"a kill takes the memory back":    {EffectOOM, "100m 1Gi 200m 2Gi", "killed for memory after memory went from 1 GiB to 300 MiB"},
		"throttling takes the CPU back":   {EffectThrottling, "500m 300Mi 1 600Mi", "throttled after cpu went from 500m to 100m"},
		"a restart takes all of it back":  {EffectRestart, "500m 1Gi 1 2Gi", "restarted after cpu went from 500m to 100m"},
		"bad health takes all of it back": {EffectHealth, "500m 1Gi 1 2Gi", "bad health after cpu went from 500m to 100m"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := shrunk(t)
			s.in.Brake = Brake{Reason: "enough for this hour"}
			s.in.Pods[0].Effects = []Effect{{Kind: tc.kind, Container: "web", Time: now.Add(time.Minute)}}
			d := s.decide()
			require.Len(t, d.Steps, 1, "the brake keeps the other pod as it is")
			step := d.Steps[0]
			assert.True(t, step.RollBack && step.Urgent)
			assert.Equal(t, tc.want, written(step.Containers["web"]))
			assert.Equal(t, decision.RolledBack, d.Record.Outcome)
			assert.Equal(t, "Rolled back pod web-0: container web: "+tc.mention, d.Record.Reason)
		})
	}
}

func TestEffectsOutsideOfTheWindowDoNotCount(t *testing.T) {
	for name, at := range map[string]time.Time{"before": now.Add(-time.Second), "long after": now.Add(20 * time.Minute)} {
		t.Run(name, func(t *testing.T) {
			s := shrunk(t)
			s.in.Now = now.Add(21 * time.Minute)
			s.in.Pods[0].Effects = []Effect{{Kind: EffectThrottling, Container: "web", Time: at}}
			assert.Empty(t, s.decide().Steps)
		})
	}
	s := shrunk(t)
	s.in.Policy.Spec.Vertical.Rollback = &v1alpha1.RollbackPolicy{Window: &metav1.Duration{}}
	s.in.Pods[0].Effects = []Effect{{Kind: EffectThrottling, Container: "web", Time: now.Add(time.Minute)}}
	assert.Empty(t, s.decide().Steps, "a window of zero switches rollbacks off")
}

func TestWhatWasTakenBackIsNotTriedAgainForAWhile(t *testing.T) {
	s := shrunk(t)
	s.in.Pods[0].Effects = []Effect{{Kind: EffectThrottling, Container: "web", Time: now.Add(time.Minute)}}
	d := s.decide()
	require.Len(t, d.Steps, 2, "the role's other pod gets the CPU too")
	assert.True(t, d.Steps[0].RollBack)
	assert.False(t, d.Steps[1].RollBack)
	carryOut(&s.in, d.Steps)
	s.in.Now = s.in.Now.Add(30 * time.Minute)
	d = s.decide()
	assert.Empty(t, d.Steps, "half an hour later")
	assert.Equal(t, "RolledBackBefore", codes(find(d, "web", corev1.ResourceCPU))["remembered"])
	s.in.Pods[0].Effects = nil
	s.in.Now = s.in.Now.Add(time.Hour)
	d = s.decide()
	require.Len(t, d.Steps, 2, "the first back-off is an hour")
	carryOut(&s.in, d.Steps)
	// It does harm again: now it takes two hours.
	s.in.Pods[0].Effects = []Effect{{Kind: EffectThrottling, Container: "web", Time: s.in.Now.Add(time.Minute)}}
	s.in.Now = s.in.Now.Add(2 * time.Minute)
	d = s.decide()
	require.NotEmpty(t, d.Steps)
	carryOut(&s.in, d.Steps)
	s.in.Now = s.in.Now.Add(110 * time.Minute)
	assert.Empty(t, s.decide().Steps)
	s.in.Pods[0].Effects = nil
	s.in.Now = s.in.Now.Add(15 * time.Minute)
	assert.NotEmpty(t, s.decide().Steps)
}

func TestGrowthAfterAKillIsNotTakenBack(t *testing.T) {
	s := newScene().pods(1).fresh("web", corev1.ResourceMemory, 2*gi)
	d := s.decide()
	carryOut(&s.in, d.Steps)
	s.in.Now = now.Add(2 * time.Minute)
	s.in.Pods[0].Effects = []Effect{{Kind: EffectOOM, Container: "web", Time: now.Add(time.Minute)}, {Kind: EffectRestart, Container: "web", Time: now.Add(time.Minute)}}
	assert.Empty(t, s.decide().Steps)
}

func TestARollbackIsFinal(t *testing.T) {
	s := shrunk(t)
	s.in.Pods[0].Effects = []Effect{{Kind: EffectRestart, Container: "web", Time: now.Add(time.Minute)}}
	carryOut(&s.in, s.decide().Steps)
	s.in.Pods[0].Effects = []Effect{{Kind: EffectRestart, Container: "web", Time: s.in.Now.Add(time.Minute)}}
	s.in.Now = s.in.Now.Add(2 * time.Minute)
	assert.Empty(t, s.decide().Steps, "a restart after the rollback does not bring the small size back")
}

func TestARestartedControllerTakesAChangeBackToo(t *testing.T) {
	before := map[string]corev1.ResourceRequirements{"web": needs(list("cpu", "400m", "memory", "900Mi"), list("cpu", "800m", "memory", "1800Mi"))}
	for name, tc := range map[string]struct {
		before map[string]corev1.ResourceRequirements
		want   string
	}{
		"to what the pod remembers": {before, "400m 300Mi 800m 600Mi"},
		"else to what was declared": {nil, "500m 300Mi 1 600Mi"},
	} {
		t.Run(name, func(t *testing.T) {
			s := shrunk(t)
			s.in.Memory = &Memory{}
			s.in.Pods = s.in.Pods[:1]
			s.in.Pods[0].Changed, s.in.Pods[0].Before = now, tc.before
			s.in.Pods[0].Effects = []Effect{{Kind: EffectThrottling, Container: "web", Time: now.Add(time.Minute)}}
			d := s.decide()
			require.Len(t, d.Steps, 1)
			assert.Equal(t, tc.want, written(d.Steps[0].Containers["web"]))
		})
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var m Memory
	pod := newScene().pods(1).in.Pods[0].Object
	for i := range maxChanges + 10 {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(strconv.Itoa(i))}, Spec: pod.Spec}
		m.Applied(Step{Pod: p}, now.Add(time.Duration(i)*time.Second))
	}
	assert.True(t, m.ChangedAt("0").IsZero())
	assert.False(t, m.ChangedAt("10").IsZero())
	assert.LessOrEqual(t, len(m.changes), maxChanges)
}

// raised is a scene in which the memory of web's only pod was raised from 512Mi to 1Gi two minutes ago, and which restarted since.
func raised(alter func(*Reading)) *scene {
	s := newScene().pods(1).fresh("web", corev1.ResourceMemory, gi, alter)
	s.in.Pods[0].Changed = now.Add(-2 * time.Minute)
	s.in.Pods[0].Before = map[string]corev1.ResourceRequirements{"web": needs(list("cpu", "500m", "memory", "512Mi"), list("cpu", "1", "memory", "1Gi"))}
	s.in.Pods[0].Effects = []Effect{{Kind: EffectRestart, Container: "web", Time: now.Add(-time.Minute)}}
	return s
}

func TestARaiseIsTakenBackOnlyAsFarAsItIsNotUsed(t *testing.T) {
	tests := map[string]struct {
		reading func(*Reading)
		scene   func(*scene)
		want    string
	}{
		"to what it was":               {func(r *Reading) { r.Floor, r.Usage = 300*mi, 250*mi }, nil, "500m 512Mi 1 1Gi"},
		"not below the recent peak":    {func(r *Reading) { r.Floor, r.Usage = 700*mi, 250*mi }, nil, "500m 700Mi 1 1Gi"},
		"not below what is used":       {func(r *Reading) { r.Floor, r.Usage = 300*mi, 800*mi }, nil, "500m 800Mi 1 1Gi"},
		"not where nearly all is used": {func(r *Reading) { r.Floor = 0.95 * gi }, nil, ""},
		"not where more is used":       {func(r *Reading) { r.Floor = 1700 * mi }, nil, ""},
		"not by usage of long ago":     {func(r *Reading) { r.State, r.Usage = decision.Stale, 0 }, nil, ""},
		"not by no usage":              {func(r *Reading) { *r = Reading{State: decision.Missing} }, nil, ""},
		"not where it answered a kill": {func(r *Reading) { r.Usage = 0 }, func(s *scene) { s.in.Pods[0].Killed = map[string]time.Time{"web": now.Add(-3 * time.Minute)} }, ""},
		"not where a heap may fill it": {func(r *Reading) { r.Usage = 0 }, func(s *scene) { s.in.Heaps["web"] = Heap{Runtime: v1alpha1.RuntimeJVM, Max: 1.5 * gi} }, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := raised(tc.reading)
			if tc.scene != nil {
				tc.scene(s)
			}
			d := s.decide()
			if tc.want == "" {
				assert.Empty(t, d.Steps)
				return
			}
			require.Len(t, d.Steps, 1)
			assert.True(t, d.Steps[0].RollBack)
			assert.Equal(t, tc.want, written(d.Steps[0].Containers["web"]))
		})
	}
}

func TestAProgramThatCrashesByItselfIsNotSizedUpAndDown(t *testing.T) {
	s := newScene().pods(1).fresh("web", corev1.ResourceMemory, 1800*mi, func(r *Reading) { r.Floor, r.Usage = 1700*mi, 1650*mi })
	changes := 0
	for range 16 {
		d := s.decide()
		changes += len(d.Steps)
		carryOut(&s.in, d.Steps)
		s.in.Pods[0].Effects = []Effect{{Kind: EffectRestart, Container: "web", Time: s.in.Now.Add(30 * time.Second)}}
		s.in.Now = s.in.Now.Add(time.Minute)
	}
	assert.Equal(t, 1, changes)
}

func TestALaterChangeDoesNotHideTheHarmOfTheFirst(t *testing.T) {
	// told tells the scene of a change as pods do that remember only the last one.
	told := func(s *scene, steps []Step) {
		for _, step := range steps {
			before := map[string]corev1.ResourceRequirements{}
			for name := range step.Containers {
				c, _ := findContainer(&step.Pod.Spec, name)
				before[name] = *c.Resources.DeepCopy()
			}
			next := step.Pod.DeepCopy()
			next.Spec = *resized(&next.Spec, step.Containers)
			s.in.Pods[0].Object, s.in.Pods[0].Changed, s.in.Pods[0].Before, s.in.Pods[0].RolledBack = next, s.in.Now, before, step.RollBack
		}
	}
	for name, apply := range map[string]func(*scene, []Step){
		"as the caller tells":  func(s *scene, steps []Step) { carryOut(&s.in, steps) },
		"as the pods remember": told,
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene().pods(1).fresh("web", corev1.ResourceMemory, 300*mi).fresh("web", corev1.ResourceCPU, 0.5)
			apply(s, s.decide().Steps)
			s.in.Now = now.Add(time.Minute)
			s.fresh("web", corev1.ResourceCPU, 0.8)
			apply(s, s.decide().Steps)
			s.in.Now = now.Add(2 * time.Minute)
			s.in.Pods[0].Effects = []Effect{{Kind: EffectOOM, Container: "web", Time: now.Add(90 * time.Second)}}
			d := s.decide()
			require.Len(t, d.Steps, 1)
			assert.Equal(t, decision.RolledBack, d.Record.Outcome)
			assert.Equal(t, "800m 1Gi 1600m 2Gi", written(d.Steps[0].Containers["web"]), "the memory comes back and the CPU stays")
			apply(s, d.Steps)
			s.in.Now = now.Add(3 * time.Minute)
			assert.Empty(t, s.decide().Steps, "once")
			// Throttling speaks against none of the changes: CPU only grew.
			s.in.Pods[0].Effects = []Effect{{Kind: EffectThrottling, Container: "web", Time: now.Add(150 * time.Second)}}
			assert.Empty(t, s.decide().Steps)
		})
	}
}

func TestTheChangesOfOnePodAreBounded(t *testing.T) {
	var m Memory
	pods := newScene().pods(1).in.Pods
	for i := range 3 * maxPerPod {
		m.Applied(Step{Pod: pods[0].Object}, now.Add(time.Duration(i)*time.Second))
	}
	assert.Len(t, m.changes[pods[0].Object.UID], maxPerPod)
	m.learn(pods, now.Add(time.Hour), 10*time.Minute)
	assert.Len(t, m.changes[pods[0].Object.UID], 1, "what is long past is forgotten, but for the last")
}
