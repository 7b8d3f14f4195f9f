package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodsOfAClassComeByAgeAndName(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var pods []*member
		for range r.IntN(40) {
			p := pod(fmt.Sprintf("%s%d", []string{"", "web-", "web-7d9f8b6c5-", "web-7d9f8b6c5"}[r.IntN(4)], r.IntN(1<<r.IntN(40))), "1", "1Gi")
			p.CreationTimestamp = metav1.NewTime(time.Unix(int64(r.IntN(3)), 0))
			pods = append(pods, &member{pod: p})
		}
		want := slices.Clone(pods)
		slices.SortStableFunc(want, compareAge)
		sortByAge(pods)
		for i := range pods {
			if compareAge(pods[i], want[i]) != 0 {
				t.Fatalf("place %d: %s, want %s", i, pods[i].pod.Name, want[i].pod.Name)
			}
		}
	}
}
